"""The section of a performance page that shows the fit: published figures, parameters, residuals, other fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ttscribe.compiler.passes import policy
from ttscribe.compiler.passes.precision import choose_precision
from ttscribe.compiler.program import Program
from ttscribe.reports.calibration import FORMS, MODEL, PUBLISHED, TTFT, Build, Calibration, Residual, calibrate
from ttscribe.reports.markdown import MICRO, MILLI, ms, percent, table
from ttscribe.reports.projection import Software

_ASSUMED = "bfp8-hifi2"


def calibration_section(calibration: Calibration, stand_ins: Mapping[str, Program]) -> Iterator[str]:
    yield _FIT.format(model=MODEL, precision=next(iter(stand_ins.values())).precision)
    yield ""
    yield from table(("build", "published TTFT, ms", "published t/s/u", "source"), map(_published, PUBLISHED))
    yield "\nFitted, not published:\n"
    yield from table(("build", "overhead, us per device operation", "slowdown", "host, ms"), _fitted(calibration))
    yield "\nResiduals; *held out* is what a fit to all the other figures projects for this one:\n"
    headers = ("build", "figure", "published", "projected", "residual", "held out", "residual")
    yield from table(headers, map(_residual, calibration.residuals))
    yield "\nWith fewer parameters, or another precision for tt-metal:\n"
    yield from table(("fit", "parameters", "figures", "slowdown", "host, ms", "worst residual"), _forms(stand_ins))


_FIT = """\
Least squares of relative errors on what tt-metal published for {model}. The operations are those of our own
programs (`{precision}`), as a stand-in for tt-metal's, of which no list is published. This assumes

* that tt-metal ran as many device operations: if it ran more, each costs less than is said here, and ours would gain;
* that it ran at our precision: if it ran at a lower one, the slowdown is greater (the last row below);
* that one overhead serves encoder and decoder, one slowdown compute, DRAM and both boards, one host time all builds;
* that launches add to the device's time. Without traces the host can run ahead of long operations.

An overhead for each build, because releases, host machines and command queues differ between them: with only one for
traces and one without, the figures are missed by far, as the table of fits shows. So many parameters for so few figures
leave little to test; that is what the held-out column is for. A step and a TTFT of a build share its overhead: held
out, a figure is projected from the other figure of its build and those of the other builds."""


def _published(build: Build) -> Sequence[object]:
    return (build.name, f"{build.ttft_s * MILLI:.0f}", f"{build.rate:g}", build.source)


def _fitted(calibration: Calibration) -> Iterator[Sequence[object]]:
    for name, software in calibration.software.items():
        yield (name, *_software(software))


def _software(software: Software) -> Sequence[str]:
    return (f"{software.overhead_s * MICRO:.3f}", f"{software.slowdown:.4f}", f"{software.host_s * MILLI:.3f}")


def _residual(residual: Residual) -> Sequence[object]:
    def shown(seconds: float | None) -> Sequence[str]:
        if seconds is None:
            return ("", "")
        figure = ms(seconds) + " ms" if residual.quantity == TTFT else f"{1 / seconds:.1f} t/s/u"
        return (figure, f"{seconds / residual.published_s - 1:+.1%} of time".replace("%", " %"))

    published, _ = shown(residual.published_s)
    return (
        residual.build.name,
        residual.quantity,
        published,
        *shown(residual.projected_s),
        *shown(residual.held_out_s),
    )


def _forms(stand_ins: Mapping[str, Program]) -> Iterator[Sequence[object]]:
    fits = [(form.name, calibrate(stand_ins, form)) for form in FORMS]
    assumed = {name: choose_precision(program, policy(_ASSUMED)) for name, program in stand_ins.items()}
    fits.append((f"the same as the last, tt-metal taken to run `{_ASSUMED}`", calibrate(assumed)))
    for name, fit in fits:
        _, slowdown, host = _software(next(iter(fit.software.values())))
        yield (name, fit.parameters, len(fit.residuals), slowdown, host, percent(fit.worst))
