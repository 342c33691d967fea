"""The model table of README.md, generated from reports between two markers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ttscribe.errors import OutputError
from ttscribe.reports.calibration import MODEL
from ttscribe.reports.markdown import table
from ttscribe.reports.model import Figure, ModelReport, Word, from_json
from ttscribe.whisper.config import SIZES
from ttscribe.writers import write_text

BEGIN, END = "<!-- model-table:begin -->", "<!-- model-table:end -->"
# What the bring-up of distil-large-v3 is compared with: tt-metal's hand-written demo on n150, from its README.
TARGETS = {("distil-large-v3", "n150"): "163 ms, 105 t/s/u"}
_HEADS = (
    "model",
    "status",
    "batch",
    "board",
    "precision",
    "compile s",
    "accuracy",
    "ATen operations before / remaining",
    "moves",
    "device operations, window / token",
    "TTFT ms",
    "t/s/u",
    "t/s",
    "target",
)


def model_table(reports: Sequence[ModelReport]) -> str:
    """The table in Markdown: distil-large-v3, the other sizes of Whisper from small to large, other models by name."""
    ordered = sorted(reports, key=_rank)
    notes = [f"- {report.model}: {'; '.join(report.reasons)}." for report in ordered if report.reasons]
    return "\n".join([*table(_HEADS, map(_row, ordered)), "", *_notes(notes)])


def _rank(report: ModelReport) -> tuple[bool, int, str]:
    sizes = list(SIZES)
    return report.model != MODEL, sizes.index(report.model) if report.model in sizes else len(sizes), report.model


def _notes(reasons: Sequence[str]) -> Iterator[str]:
    yield (
        "ᵛ validated on a mock board, ᵉ emulated, ᵖ projected by the cost model, ᵐ measured (compile time: on a CPU). "
        "A figure that could not be taken is absent. TTFT and t/s/u are from the board's limit to an estimate with the "
        "software of tt-metal as fitted to its published figures; for distil-large-v3 the estimate is that fit itself "
        "([performance.md](docs/models/distil-large-v3/performance.md))."
    )
    if reasons:
        yield "\nWhy a row is not ✅:\n"
        yield from reasons


def _row(report: ModelReport) -> Sequence[object]:
    return (
        f"[{report.model}](docs/models/{report.model}/report.md)",
        report.status.value,
        report.batch,
        report.board,
        report.precision,
        _cell(report, "compile", "{:.0f}"),
        _accuracy(report),
        _pair(report, "torch_ops_before", "torch_ops_remaining"),
        _cell(report, "moves", "{:d}"),
        _pair(report, "device_operations_window", "device_operations_token")
        or _cell(report, "device_operations", "{:d}"),
        _range(report, "ttft_floor", "ttft"),
        _range(report, "tsu", "tsu_ceiling"),
        _cell(report, "ts", "{:.0f}"),
        TARGETS.get((report.model, report.board), ""),
    )


def _cell(report: ModelReport, name: str, form: str) -> str:
    figure = report.figure(name)
    return "" if figure is None else form.format(figure.value) + _mark(figure)


def _pair(report: ModelReport, first: str, second: str) -> str:
    before, after = report.figure(first), report.figure(second)
    return "" if before is None or after is None else f"{before.value} / {after.value}{_mark(after)}"


def _range(report: ModelReport, low: str, high: str) -> str:
    """What is projected has a limit of the board and an estimate; what is measured is one number."""
    first, second = report.figure(low), report.figure(high)
    known = [figure for figure in (first, second) if figure is not None]
    taken = [figure for figure in known if figure.word is Word.MEASURED] or known
    return "–".join(f"{figure.value:.0f}" for figure in taken) + (_mark(taken[0]) if taken else "")


def _accuracy(report: ModelReport) -> str:
    agreement, wer, fp32 = (report.figure(name) for name in ("token_agreement", "wer", "wer_fp32"))
    if agreement is None or wer is None or fp32 is None:
        return ""
    return f"{agreement.value:.1f} % of tokens, WER {wer.value:.2f} (fp32 {fp32.value:.2f}){_mark(wer)}"


def _mark(figure: Figure) -> str:
    return {"validated": "ᵛ", "emulated": "ᵉ", "projected": "ᵖ", "measured": "ᵐ"}[figure.word.value]


def between_markers(text: str, content: str, name: str) -> str:
    """``text`` with ``content`` between the markers; OutputError where ``name`` has no markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise OutputError(f"{name} has no {BEGIN} ... {END} to put the model table between")
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def reports_in(folder: Path) -> list[ModelReport]:
    """Those of ``folder``'s folders, one a model; OutputError for a damaged one."""
    return [_read(path) for path in sorted(folder.glob("*/report.json"))]


def _read(path: Path) -> ModelReport:
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OutputError(f"{path}: {error}: make that report again") from error


def write_table(readme: Path, folder: Path) -> None:
    """Replace the table in ``readme`` by that of the reports in ``folder``; OutputError where there is no table."""
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{readme}: cannot be read ({error})") from error
    write_text(readme, between_markers(text, model_table(reports_in(folder)), readme.name))
