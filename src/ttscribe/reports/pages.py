"""A report as Markdown, and the same Markdown as one HTML page that needs nothing from the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template

from markdown_it import MarkdownIt

from ttscribe.check import ProgramCheck
from ttscribe.files import make_folder, write_text
from ttscribe.reports.constants import CHIPS
from ttscribe.reports.kernel_times import RATES
from ttscribe.reports.schema import (
    FIGURES,
    Figure,
    KernelTimes,
    ModelReport,
    Variation,
    in_order,
    to_json,
)

_STATUSES = ("lowered", "fused", "removed", "constant", "host", "blocked")
_VARIATION = ("input variation", "programs", "nodes", "status", "TT-NN calls", "isolated PCC", "host", "reason")
_PROJECTED_ONLY = """\
Every time and rate on this page is *projected*: computed from the compiled programs (`{precision}`) and published
constants. None was measured by us, and no card was involved."""
_KERNELS = ("calls", "device operations", "GFLOP", "DRAM, MB", "floor, us", "at least, us", "at most, us", "from")
_TEXTS = files("ttscribe.reports").joinpath("texts")


def pages(report: ModelReport) -> dict[str, str]:
    """Every file of a report and its text: equal reports give equal text."""
    markdown = {
        "report.md": summary_page(report),
        "input_variations.md": "\n".join(_trace(report)) + "\n" if report.variations else "",
        "performance.md": "\n".join(_performance(report)) + "\n" if report.kernels else "",
    }
    html = Template(text("page.html")).substitute(
        title=escape(f"{report.model} on {report.board}"),
        # No raw HTML: messages of TT-NN's and types of C++ have angle brackets.
        body=MarkdownIt("commonmark", {"html": False}).enable("table").render("\n".join(markdown.values())),
    )
    return {
        "report.json": to_json(report),
        **{name: page for name, page in markdown.items() if page},
        "report.html": html,
    }


def write(report: ModelReport, folder: Path) -> list[Path]:
    """Write every file of a report into ``folder``, each whole or not at all; the paths written."""
    make_folder(folder)
    texts = pages(report)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def text(name: str) -> str:
    return _TEXTS.joinpath(name).read_text(encoding="utf-8")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of a Markdown table, a blank line before them."""
    yield ""
    yield "| " + " | ".join(headers) + " |"
    yield "|" + "---|" * len(headers)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"


def ms(seconds: float) -> str:
    """Seconds as milliseconds, to a hundredth."""
    return f"{1e3 * seconds:.2f}"


def percent(share: float) -> str:
    """A share from 0 to 1 in per cent, to a tenth."""
    return f"{100 * share:.1f} %"


def shown(figure: Figure) -> str:
    """Value and unit as a person reads them."""
    value = figure.value
    if figure.unit.startswith("B"):
        return f"{value:,.0f} {figure.unit}"
    number = f"{value:,}" if isinstance(value, int) else f"{value:.5g}"
    return f"{number} {figure.unit}".strip()


def summary_page(report: ModelReport) -> str:
    """``report.md``: figures, programs, what stays on the host, and what a card's owner must run."""
    return "\n".join(_summary(report)) + "\n"


def _summary(report: ModelReport) -> Iterator[str]:
    yield f"# {report.model}: report\n"
    reasons = f" Not done: {'; '.join(report.reasons)}." if report.reasons else ""
    how = f"{report.status.value} on {report.board}, `{report.precision}`, batch {report.batch}"
    yield f"{how}; weights: {report.weights}.{reasons}\n"
    yield text("words.md") + "\n## Figures"
    rows = [
        (FIGURES[name][1], shown(figure), figure.provenance.value, figure.source) for name, figure in in_order(report)
    ]
    yield from table(("figure", "value", "provenance", "taken on, made from"), rows)
    if report.batches:
        yield "\n## Several windows at a time (projected)\n\n" + text("batches.md").rstrip()
        yield from table(("windows", "device operations", "a step, ms", "t/s", "real-time factor"), _batches(report))
    if report.overrides:
        yield from _listed(f"Settings of single operations under `{report.precision}`", report.overrides, "")
    yield "\n## Programs (validated)"
    heads = ("program", "TT-NN calls", "device operations", "host segments", "DRAM added MiB", "peak L1 B/core", "at")
    yield from table(heads, map(_program_row, report.programs))
    yield from _listed("What stays in PyTorch", report.fallbacks, "Nothing.")
    if report.findings:
        yield from _listed("What the mock board refuses", report.findings, "")
    ran = report.ledger_differences
    nothing = "Nothing ran: there are no weights of this model here." if ran is None else "No difference."
    yield from _listed("What ran and what was compiled", ran or (), nothing)
    if is_whisper(report):
        yield "\n## On a card\n\n" + Template(text("card.md")).substitute(command=card_command(report))
    yield f"\nVersions: {', '.join(f'{name} {number}' for name, number in report.versions.items())}."


def _batches(report: ModelReport) -> Iterator[Sequence[object]]:
    for batch in report.batches:
        tokens = " to ".join(f"{rate:,.0f}" for rate in batch.tokens_per_second)
        step = f"{ms(batch.least_s)} to {ms(batch.most_s)}"
        yield batch.windows, batch.device_operations, step, tokens, f"{batch.rtf_least:.4f} to {batch.rtf_most:.4f}"


def _listed(title: str, lines: Sequence[str], nothing: str) -> Iterator[str]:
    yield f"\n## {title}\n"
    yield from [f"- {line}" for line in lines] or [nothing]


def card_command(report: ModelReport) -> str:
    """What somebody with a card runs in a clone of the repository."""
    how = f"--board {report.board} --device ttnn:{report.board} --precision {report.precision} --speech SPEECH"
    return f"ttscribe report {report.model} {how} --output docs/models/{report.model} --table README.md"


def is_whisper(report: ModelReport) -> bool:
    """Whether the report is of a Whisper model, which ``ttscribe report`` can measure."""
    return report.figure("device_operations_token") is not None


def _program_row(program: ProgramCheck) -> Sequence[object]:
    counts = (program.calls, program.launches, program.host_segments, f"{program.dram_added / 2**20:,.1f}")
    peak = "" if program.peak_l1 is None else f"{program.peak_l1:,}"
    return (f"`{program.program}`", *counts, peak, "" if program.peak_l1_call is None else f"`{program.peak_l1_call}`")


def _trace(report: ModelReport) -> Iterator[str]:
    yield f"# {report.model}: operation trace\n"
    yield Template(text("trace.md")).substitute(precision=report.precision) + "\n## Summary"
    groups = {target: list(alike) for target, alike in groupby(report.variations, key=lambda each: each.target)}
    rows = [_operation_row(target, alike) for target, alike in groups.items()]
    yield from table(("ATen operation", "variations", "nodes", *_STATUSES, "lowest isolated PCC"), rows)
    for target, alike in groups.items():
        yield f"\n## {target}"
        yield from table(_VARIATION, map(_variation_row, alike))


def _operation_row(target: str, variations: Sequence[Variation]) -> Sequence[object]:
    counts = [sum(variation.statuses.get(status, 0) for variation in variations) for status in _STATUSES]
    lowest = min((variation.pcc for variation in variations if variation.pcc is not None), default=None)
    nodes = sum(variation.count for variation in variations)
    return (f"`{target}`", len(variations), nodes, *(count or "" for count in counts), _pcc(lowest))


def _variation_row(variation: Variation) -> Sequence[object]:
    return (
        f"`{variation.inputs}`",
        ", ".join(variation.programs),
        variation.count,
        ", ".join(f"{status} {count}" for status, count in variation.statuses.items()),
        ", ".join(f"`{call}` {count}" for call, count in variation.calls.items()),
        _pcc(variation.pcc),
        "yes" if variation.on_host else "no",
        "; ".join(variation.reasons),
    )


def _pcc(pcc: float | None) -> str:
    return "" if pcc is None else f"{pcc:.5f}"


def _performance(report: ModelReport) -> Iterator[str]:
    yield f"# {report.model}: projected performance on {report.board}\n"
    yield _PROJECTED_ONLY.format(precision=report.precision)
    yield "\n## What the kernels add up to\n"
    yield kernel_words(report.board)
    yield from kernel_tables(report.kernels)


def kernel_words(board: str) -> str:
    """What such tables are, and where a board's rates are from."""
    source = RATES[CHIPS[board]].source
    return text("kernels.md").rstrip() + (f"\n\nThe sources in the tables are of an n150; {source}." if source else "")


def kernel_tables(times: Iterable[KernelTimes]) -> Iterator[str]:
    """A table for each program, with its sum."""
    for program, found in groupby(times, key=lambda each: each.program):
        parts = [*found]
        yield f"\n`{program}`:"
        yield from table(_KERNELS, map(_kernel_row, [*parts, _sum(parts)]))


def _sum(parts: Sequence[KernelTimes]) -> KernelTimes:
    """All calls of a program, and the time between them, which comes last."""
    return KernelTimes(
        parts[-1].program,
        "all",
        parts[-1].device_operations,
        sum(each.flops for each in parts),
        sum(each.bytes_dram for each in parts),
        sum(each.floor_s for each in parts),
        sum(each.least_s for each in parts),
        sum(each.most_s for each in parts),
        "",
    )


def _kernel_row(each: KernelTimes) -> Sequence[object]:
    sizes = (f"{each.flops / 1e9:.2f}", f"{each.bytes_dram / 1e6:.2f}")
    times = (f"{1e6 * seconds:.0f}" for seconds in (each.floor_s, each.least_s, each.most_s))
    return (each.call, each.device_operations, *sizes, *times, each.source)
