"""The model table of README.md, generated from reports between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ttscribe.devices.provenance import Provenance
from ttscribe.errors import OutputError
from ttscribe.files import write_text
from ttscribe.reports.pages import table
from ttscribe.reports.schema import Figure, ModelReport, from_json
from ttscribe.whisper.config import SIZES

BEGIN, END = "<!-- model-table:begin -->", "<!-- model-table:end -->"
# What tt-metal's hand-written demo reaches, from its README: TTFT in ms, t/s/u.
PUBLISHED = {("distil-large-v3", "n150"): (163, 105)}
_MARKS = {
    Provenance.VALIDATED: "ᵛ",
    Provenance.EMULATED: "ᵉ",
    Provenance.SIMULATED: "ˢ",
    Provenance.PROJECTED: "ᵖ",
    Provenance.MEASURED: "ᵐ",
}
_HEADS = (
    "model",
    "status",
    "board, precision",
    "accuracy",
    "in PyTorch",
    "device operations, window / token",
    "TTFT ms",
    "t/s/u",
)
_NOTES = """
ᵛ validated on a mock board, ᵉ emulated, ˢ simulated, ᵖ projected by the cost model, ᵐ measured; empty: could not be
taken here.
A projected range adds up what each call takes at least and at most, by what others measured of its like on the same
chip; a step is one with timestamps, and TTFT has the host's features in it, 5 to 15 ms. Of other models such ranges
hold what was published of them: [docs/cost_model.md](docs/cost_model.md).
✅ every operation lowered, every call accepted, accuracy contract met; 🚧 contract missed, or not judged for want of
weights."""


def model_table(reports: Sequence[ModelReport]) -> str:
    """The table in Markdown: distil-large-v3, then the other sizes of Whisper from small to large."""
    ordered = sorted(reports, key=lambda report: (report.model != "distil-large-v3", list(SIZES).index(report.model)))
    return "\n".join([*table(_HEADS, map(_row, ordered)), _NOTES]).strip()


def _row(report: ModelReport) -> Sequence[object]:
    published = PUBLISHED.get((report.model, report.board))
    ttft, rate = ("", "") if published is None else (f"; tt-metal's {figure}" for figure in published)
    return (
        f"[{report.model}](docs/models/{report.model}/report.md)",
        report.status.value,
        f"{report.board}, {report.precision}",
        _accuracy(report),
        _cells(report, "torch_ops_remaining"),
        _cells(report, "device_operations_window", "device_operations_token"),
        _range(report, "ttft_floor", "ttft") + ttft,
        _range(report, "tsu", "tsu_ceiling") + rate,
    )


def _cells(report: ModelReport, *names: str) -> str:
    figures = [figure for figure in map(report.figure, names) if figure is not None]
    return " / ".join(f"{figure.value}" for figure in figures) + _mark(figures)


def _range(report: ModelReport, low: str, high: str) -> str:
    """What is projected is a range; what is measured is one number."""
    known = [figure for figure in (report.figure(low), report.figure(high)) if figure is not None]
    taken = [figure for figure in known if figure.provenance is Provenance.MEASURED] or known
    return "–".join(f"{figure.value:.0f}" for figure in taken) + _mark(taken)


def _accuracy(report: ModelReport) -> str:
    agreement, wer, fp32 = (report.figure(name) for name in ("token_agreement", "wer", "wer_fp32"))
    if agreement is None or wer is None or fp32 is None:
        return ""
    return f"{agreement.value:.1f} % of tokens, WER {wer.value:.2f} (fp32 {fp32.value:.2f}){_mark([wer])}"


def _mark(figures: Sequence[Figure]) -> str:
    return _MARKS[figures[0].provenance] if figures else ""


def between_markers(text: str, content: str, name: str, markers: tuple[str, str] = (BEGIN, END)) -> str:
    """``text`` with ``content`` between the markers; OutputError where ``name`` has no markers."""
    before, begin, rest = text.partition(markers[0])
    _, end, after = rest.partition(markers[1])
    if not begin or not end:
        raise OutputError(f"{name} has no {markers[0]} ... {markers[1]} to put the table between")
    return f"{before}{begin}\n{content}\n{end}{after}"


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
