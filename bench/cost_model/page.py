"""docs/models/distil-large-v3/performance.md and its plots: what the cost model projects, from what, and why.

Made by ``bench/model_reports.py``. What ``ttscribe report`` writes under that name for any model and board is the first
half of it; this adds both boards side by side, the fit, and tt-metal's published figures taken apart by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from cost_model.fit import FORMS, MODEL, TTFT, Fit, Residual, fit
from cost_model.gap import Gap, gaps, savings, small_overhead
from cost_model.plots import roofline, time_by_kind
from ttscribe.compiler.passes.precision import choose_precision
from ttscribe.compiler.program import Program
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.reports.constants import CHIPS, CORE_RATE, PASSES, RELEASES, TILE_ROWS, Release, Software, Sourced
from ttscribe.reports.kernel_times import first_token, kernel_times, total
from ttscribe.reports.pages import call_tables, kernel_tables, ms, percent, projected_row, table, text
from ttscribe.reports.projection import FIRST_TOKEN, NEXT_TOKEN, WITHOUT_TIMESTAMPS, Projection, project

PAGE, TIME_PLOT, ROOFLINE_PLOT = "performance.md", "time_{board}.svg", "roofline_{board}.svg"
# The release whose software a board's tables and plots suppose: the last published of each board.
LATEST = {release.chip: release for release in RELEASES}
_ASSUMED = "bfp8-hifi2"
_LEAST_SHARE = 0.01
_MILLI, _MICRO, _MEGA = 1e3, 1e6, 1e6


@dataclass(frozen=True, slots=True)
class Subject:
    """distil-large-v3's programs, and the fit of tt-metal's software to its published figures with them.

    They have bfloat16 weights, as tt-metal's Whisper has.
    """

    programs: Mapping[str, Program]
    fit: Fit
    reported: Mapping[str, Program]

    @classmethod
    def of(cls, programs: Mapping[str, Program], reported: Mapping[str, Program] | None = None) -> Subject:
        """``reported`` are those that the report's figures are of, where it is under another policy."""
        return cls(programs, fit(programs), reported or programs)

    @property
    def precision(self) -> str:
        return next(iter(self.programs.values())).precision

    def projections(self) -> dict[str, Projection]:
        """By release, with the software that the package has of it."""
        return {
            each.name: project(self.programs, CHIPS[each.chip], each.software, WITHOUT_TIMESTAMPS) for each in RELEASES
        }

    def latest(self) -> dict[str, Projection]:
        """By board, with the software of the release that is shown in detail."""
        found = self.projections()
        return {board: found[release.name] for board, release in LATEST.items()}


def render(subject: Subject) -> dict[str, str]:
    """File names and their text; equal subjects give equal bytes."""
    files = {PAGE: "\n".join(_page(subject)) + "\n"}
    for board, projection in subject.latest().items():
        files[TIME_PLOT.format(board=board)] = time_by_kind(projection, board)
        files[ROOFLINE_PLOT.format(board=board)] = roofline(projection, board, policy(subject.precision).fidelity)
    return files


def _page(subject: Subject) -> Iterator[str]:
    yield f"# {MODEL}: projected performance\n"
    reported = next(iter(subject.reported.values())).precision
    yield _INTRODUCTION.format(precision=subject.precision, reported=reported)
    yield "\n## What the kernels add up to\n"
    yield from _added_up(subject)
    yield "\n## The board's limits, and tt-metal's software\n"
    yield _LIMITS
    yield from _figures(subject)
    yield "\n## Where the time goes"
    for board, projection in subject.latest().items():
        yield f"\n### {board}, software as of *{LATEST[board].name}*\n"
        yield f"![time by kind of call]({TIME_PLOT.format(board=board)})"
        yield f"![roofline]({ROOFLINE_PLOT.format(board=board)})"
        yield from call_tables(projection.calls())
    yield "\n## Why tt-metal's figures are what they are\n"
    yield from _explanation(subject)
    yield "\n## What separates the estimate from the limits\n"
    yield _GAP
    for board, projection in subject.latest().items():
        yield from _ranking(board, projection)
    yield "\n## What would be saved\n"
    yield _SAVINGS
    for board, projection in subject.latest().items():
        yield from _saved(board, projection, subject)
    yield "\n## Calibration\n"
    yield from _calibration(subject)
    yield "\n## Constants"
    yield from table(("board", "constant", "value", "unit", "source"), _constants())
    yield "\n## To recompute a figure\n"
    yield from _example(subject)


_INTRODUCTION = """\
Every time and rate on this page is *projected*: computed from the compiled programs and published constants. None was
measured by us, and no card was involved. What others published is called *published*. What the kernels add up to is of
the programs under `{reported}`, as the report is; all below it is of `{precision}`, for tt-metal's Whisper has bfloat16
weights."""

_LIMITS = """\
What the boards could do at their peak rates, and what tt-metal's software, as it was fitted to what is published of its
own Whisper, would make of our programs. For each TT-NN call of a program:

    compute  = FLOPs, padded to tiles of 32 x 32 / rate of products at the call's math fidelity
    DRAM     = bytes of operands and results in DRAM, padded / DRAM rate; what is in L1 counts nothing
    launch   = device operations x overhead
    floor    = max(compute, DRAM) at the board's peak rates
    estimate = slowdown x max(compute, DRAM) at measured rates + launch

A call is *bound* by the longest of the three. Times of calls add up: nothing is taken to overlap. What norms and
element-wise calls compute is left out, for no rate of the vector unit is published. Attention over the cache counts all
of its slots, as in the last step of a window; FLOPs and bytes are those of the programs, one user. In the tables the
column *measured rates* is the sum of max(compute, DRAM) at measured rates, so that an estimate is
slowdown x measured rates + device operations x overhead, with both values from *Calibration*.

TTFT is from samples in memory to the first token: host + `encode` + `cross_kv` + `prefill`; its floor has no time of
the host. t/s/u is 1 / `greedy_step`: the floor of a step is the ceiling of t/s/u. So tt-metal defines them, whose demo
asks for no timestamps. `transcribe` does, and its step is then `timed_step`, which applies their grammar on the card:
the rows *with timestamps* are of it."""


_GAP = """\
Estimate less floor, each second under one cause; the shares of a table add up to 100 %. Calls are counted in device
operations; *others* are norms, sums and moves. *The host* is what the fit finds before the first token that no program
explains: features, and moving them."""

_SAVINGS = """\
Each alternative by itself, the programs otherwise as they are: the estimate and the floor fall by so many ms. They
overlap, and do not add up. Which precisions keep the accuracy contract is in `docs/accuracy.md`."""

_GAP = """\
Estimate less floor, each second under one cause; the shares of a table add up to 100 %. Calls are counted in device
operations, by the family of their TT-NN operation; *others* are norms, sums and moves. *The host* is what the fit finds
before the first token that no program explains: features, and moving them."""

_SAVINGS = """\
Each alternative by itself, the programs otherwise as they are: the estimate and the floor fall by so many ms. They
overlap, and do not add up. Which precisions keep the accuracy contract is in `docs/accuracy.md`."""


def _figures(subject: Subject) -> Iterator[str]:
    rows = [projected_row(projection.projected(name)) for name, projection in subject.projections().items()]
    for board, projection in subject.latest().items():
        software = small_overhead(projection.software, projection.chip)
        small = project(subject.programs, projection.chip, software, WITHOUT_TIMESTAMPS)
        rows.append(projected_row(small.projected(f"{board}, traced, small overhead")))
        timed = project(subject.programs, projection.chip, projection.software)
        rows.append(projected_row(timed.projected(f"{LATEST[board].name}, with timestamps")))
    yield from table(("software as of", "TTFT floor, ms", "TTFT estimate, ms", "t/s/u ceiling", "t/s/u estimate"), rows)
    yield ""
    yield _READING.format(model=MODEL)


_READING = """\
*Small overhead*: the slowdown and host time as fitted, and for each operation beside its work the seconds of the small
product in *Constants*, which tt-metal measured from a trace. p150 without traces is absent, for nothing is published to
fit its overhead to. A chip of an n300 has the n150's constants.

For {model} the estimate of a published build is the fit itself: it says what tt-metal's software would make of our
programs, not how much faster ours are. What the fit leaves over is under *Calibration*."""


def _added_up(subject: Subject) -> Iterator[str]:
    yield text("kernels.md")
    names = (*FIRST_TOKEN, *NEXT_TOKEN, *WITHOUT_TIMESTAMPS)
    times = [each for name in names for each in kernel_times(subject.reported[name])]
    rows: list[Sequence[object]] = [("TTFT", *map(ms, first_token(times)), "")]
    for name, programs in {"with timestamps": NEXT_TOKEN, "without timestamps": WITHOUT_TIMESTAMPS}.items():
        low, high = total(times, programs)
        rows.append((f"a step {name}", ms(low), ms(high), f"{1 / high:.0f} to {1 / low:.0f}"))
    yield from table(("", "at least, ms", "at most, ms", "t/s/u"), rows)
    yield from kernel_tables(times)


def _explanation(subject: Subject) -> Iterator[str]:
    """The published figures taken apart."""
    projections = subject.projections()
    yield "Published figures of " + MODEL + ", taken apart by the fit:"
    heads = ("build", "per operation, us", "launch in TTFT", "launch in a step", "of the t/s/u ceiling")
    yield from table((*heads, "TTFT over floor"), (_explained(each, projections[each.name]) for each in RELEASES))
    yield ""
    first, traced, *_ = (projections[each.name] for each in RELEASES)
    step = [each for name in WITHOUT_TIMESTAMPS for each in first.programs[name]]
    yield _WHY.format(
        operations=sum(each.device_operations for each in step),
        first=first.software.overhead_s * _MICRO,
        traced=traced.software.overhead_s * _MICRO,
        small=first.chip.small_product.value * _MICRO,
        megabytes=sum(each.bytes_dram for each in step) / _MEGA,
        slowdown=first.software.slowdown,
        dram=percent(first.chip.dram_measured.value / first.software.slowdown / first.chip.dram_peak.value),
    )


_WHY = """\
* **A step is overhead, not work.** Ours is {operations} device operations that move {megabytes:.0f} MB. The fit charges
  {first:.0f} us to each without traces on an n150, and {traced:.0f} us with; yet tt-metal's small product takes
  {small:.2f} us in all from a trace. So what the fit calls overhead on a traced build is mostly not launching: it is
  operations beyond ours, sampling on the host, and waiting for it. The published t/s/u rose by what took that away.
* **TTFT is the encoder**: products and attention at {slowdown:.2f} times what a large product takes, and its share of
  launches. The prompt and the cross-attention's keys and values are small beside it.
* **DRAM is far from its limit**: the same slowdown leaves {dram} of n150's peak to what is bound by it."""


def _explained(release: Release, projection: Projection) -> Sequence[object]:
    launches = [
        sum(each.launch_s for name in names for each in projection.programs[name])
        for names in (FIRST_TOKEN, WITHOUT_TIMESTAMPS)
    ]
    return (
        release.name,
        f"{projection.software.overhead_s * _MICRO:.1f}",
        percent(launches[0] / release.ttft_s),
        percent(launches[1] * release.rate),
        percent(release.rate / projection.rate.floor),
        f"{release.ttft_s / projection.ttft_s.floor:.1f} x",
    )


def _ranking(board: str, projection: Projection) -> Iterator[str]:
    spans = {"TTFT": projection.ttft_s, "step": projection.step_s}
    for figure, found in groupby(gaps(projection), key=lambda each: each.figure):
        yield f"\n### {board}, {figure}: {ms(spans[figure].estimate)} ms less {ms(spans[figure].floor)} ms"
        yield from table(("program", "calls", "cause", "ms", "share", "what would close it"), _gap_rows(list(found)))


def _gap_rows(found: Sequence[Gap]) -> Iterator[Sequence[object]]:
    for gap in found:
        if gap.share >= _LEAST_SHARE:
            calls = f"{gap.device_operations} {gap.family}" if gap.program else ""
            yield (gap.program, calls, gap.cause, ms(gap.seconds), percent(gap.share), gap.change)
    lesser = [gap for gap in found if gap.share < _LEAST_SHARE]
    seconds, share = sum(gap.seconds for gap in lesser), sum(gap.share for gap in lesser)
    yield ("", "", f"{len(lesser)} lesser ones", ms(seconds), percent(share), "")


def _saved(board: str, projection: Projection, subject: Subject) -> Iterator[str]:
    before = (ms(projection.ttft_s.estimate), ms(projection.step_s.estimate))
    yield "\n### {}, from TTFT {} ms and step {} ms".format(board, *before)
    heads = ("alternative", "TTFT, ms", "TTFT floor, ms", "step, ms", "step floor, ms", "t/s/u then")
    rows = [
        (
            each.alternative,
            *map(ms, (each.ttft_s, each.ttft_floor_s, each.step_s, each.step_floor_s)),
            f"{1 / (projection.step_s.estimate - each.step_s):.1f}",
        )
        for each in savings(subject.programs, projection.chip, projection.software)
    ]
    yield from table(heads, rows)


def _calibration(subject: Subject) -> Iterator[str]:
    found = subject.fit
    yield _FIT.format(model=MODEL, precision=subject.precision)
    yield from table(
        ("build", "published TTFT, ms", "published t/s/u", "source"),
        ((each.name, f"{each.ttft_s * _MILLI:.0f}", f"{each.rate:g}", each.source) for each in RELEASES),
    )
    yield "\nFitted, not published:"
    rows = ((name, *_software(software)) for name, software in found.software.items())
    yield from table(("build", "overhead, us per device operation", "slowdown", "host, ms"), rows)
    yield "\nResiduals; *held out* is what a fit to all the other figures projects for this one:"
    heads = ("build", "figure", "published", "projected", "residual", "held out", "residual")
    yield from table(heads, map(_residual, found.residuals))
    yield "\nWith fewer parameters, or another precision for tt-metal:"
    yield from table(("fit", "parameters", "figures", "slowdown", "host, ms", "worst residual"), _forms(subject))


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
out, a figure is projected from the other figure of its build and those of the other builds. What ships in the package
(`reports/constants.json`) is this fit to five digits, made by `bench/cost_model/fit.py`."""


def _software(software: Software) -> Sequence[str]:
    return (f"{software.overhead_s * _MICRO:.3f}", f"{software.slowdown:.4f}", f"{software.host_s * _MILLI:.3f}")


def _residual(residual: Residual) -> Sequence[object]:
    def shown(seconds: float | None) -> Sequence[str]:
        if seconds is None:
            return ("", "")
        figure = ms(seconds) + " ms" if residual.quantity == TTFT else f"{1 / seconds:.1f} t/s/u"
        return (figure, f"{seconds / residual.published_s - 1:+.1%} of time".replace("%", " %"))

    published, _ = shown(residual.published_s)
    projected = (*shown(residual.projected_s), *shown(residual.held_out_s))
    return (residual.release.name, residual.quantity, published, *projected)


def _forms(subject: Subject) -> Iterator[Sequence[object]]:
    fits = [(form.name, fit(subject.programs, form)) for form in FORMS]
    assumed = CompileSettings(policy(_ASSUMED))
    lower = {name: choose_precision(program, assumed) for name, program in subject.programs.items()}
    fits.append((f"the same as the last, tt-metal taken to run `{_ASSUMED}`", fit(lower)))
    for name, found in fits:
        _, slowdown, host = _software(next(iter(found.software.values())))
        yield (name, found.parameters, len(found.residuals), slowdown, host, percent(found.worst))


def _constants() -> Iterator[Sequence[object]]:
    yield ("all", "FLOPs of a core", *_constant(CORE_RATE))
    yield ("all", "least rows of a product", *_constant(TILE_ROWS))
    for fidelity, passes in PASSES.items():
        yield ("all", f"passes at {fidelity}", *_constant(passes))
    for board in LATEST:
        chip = CHIPS[board]
        yield (board, "cores that a product uses", *_constant(chip.cores))
        yield (board, "clock", *_constant(chip.clock))
        yield (board, "DRAM, peak", *_constant(chip.dram_peak))
        yield (board, "DRAM, measured", *_constant(chip.dram_measured))
        for name, rate in chip.products.items():
            yield (board, f"large product, {name}, measured", *_constant(rate))
        yield (board, "small product, traced, measured", *_constant(chip.small_product))


def _constant(constant: Sourced) -> Sequence[str]:
    return (f"{constant.value:g}", constant.unit, constant.source)


_EXAMPLE = """\
Peak FLOP/s = cores x clock x {core:g} / passes of the fidelity. A program's time is the sum over its calls, each by the
formulas at the top; `ttscribe compile {model} --program NAME --print` lists them with shapes, types and memory.
For example the longest product of `{program}` on {board}, call {index} (`{target}` of {source}):

    compute  = {flops} FLOP / {measured:g} FLOP/s = {compute:.2f} us
    DRAM     = {size} byte / {bandwidth:g} byte/s = {dram:.2f} us
    launch   = {operations} x {overhead:.3f} us
    floor    = max({flops} / {peak:g}, {size} / {dram_peak:g}) s = {floor:.2f} us
    estimate = {slowdown:.4f} x {longer:.2f} + {launch:.2f} = {estimate:.2f} us"""


def _example(subject: Subject) -> Iterator[str]:
    name, projection = WITHOUT_TIMESTAMPS[0], subject.latest()["n150"]
    longest = max(projection.programs[name], key=lambda each: (each.flops > 0, each.estimate_s))
    fidelity = policy(subject.precision).fidelity
    yield _EXAMPLE.format(
        core=CORE_RATE.value,
        model=MODEL,
        program=name,
        board="n150",
        index=longest.index,
        target=longest.op.target,
        source=", ".join(f"`{node}`" for node in longest.op.source),
        flops=longest.flops,
        measured=longest.flops / longest.compute_s,
        compute=longest.compute_s * _MICRO,
        size=longest.bytes_dram,
        bandwidth=projection.chip.dram_measured.value,
        dram=longest.dram_s * _MICRO,
        operations=longest.device_operations,
        overhead=projection.software.overhead_s * _MICRO,
        peak=projection.chip.peak(fidelity),
        dram_peak=projection.chip.dram_peak.value,
        floor=longest.floor_s * _MICRO,
        slowdown=projection.software.slowdown,
        longer=longest.device_s * _MICRO,
        launch=longest.launch_s * _MICRO,
        estimate=longest.estimate_s * _MICRO,
    )
