"""From the raw runs of ``speed.py`` to tables: one for each model, to the terminal or to a page in Markdown."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from speed_systems import OURS

BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the runs of a system with a model; the peak is the highest. ``absent`` says why there are none."""

    clips: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    encoder: float = 0.0
    first_token: float = 0.0
    token: float = 0.0
    peak_mib: int = 0
    absent: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    header: list[str]
    rows: list[list[str]]


def figures(runs: list[dict[str, Any]]) -> Figures:
    """Of one system with one model: a run that failed makes it absent."""
    failed = [run["absent"] for run in runs if "absent" in run]
    if failed:
        return Figures(absent=failed[0])
    by_clip = list(zip(*(run["clips"] for run in runs), strict=True))
    return Figures(
        clips=tuple(statistics.median(clip["seconds"] for clip in clips) for clips in by_clip),
        tokens=tuple(clips[0]["tokens"] for clips in by_clip),
        encoder=_median(runs, "encoder_seconds"),
        first_token=_median(runs, "first_token_seconds"),
        token=_median(runs, "token_seconds"),
        peak_mib=max(run["peak_mib"] for run in runs),
    )


def _median(runs: list[dict[str, Any]], key: str) -> float:
    return float(statistics.median(value for run in runs for value in run[key]))


def tables(results: dict[str, Any]) -> list[Table]:
    """A table for each model that was measured, in the order of the runs."""
    return [_table(results, model) for model in dict.fromkeys(run["model"] for run in results["runs"])]


def _table(results: dict[str, Any], model: str) -> Table:
    runs = [run for run in results["runs"] if run["model"] == model]
    durations = [clip["seconds"] for clip in results["clips"]]
    by_system = {
        name: figures([run for run in runs if run["system"] == name])
        for name in dict.fromkeys(run["system"] for run in runs)
    }
    header = [
        "system",
        *(f"{seconds:.1f} s clip" for seconds in durations),
        "real-time factor",
        "encoder, s",
        "first token, ms",
        "next token, ms",
        "peak memory, MiB",
        "tokens",
    ]
    ours = by_system.get(OURS, Figures()).clips
    rows = [[name, *_cells(measured, ours, durations)] for name, measured in by_system.items()]
    rounds = max(run["round"] for run in runs)
    how = "one run" if rounds == 1 else f"median of {rounds} runs"
    return Table(f"{model}, {results['weights'][model]}; {how}", header, [_filled(row, len(header)) for row in rows])


def _cells(measured: Figures, ours: tuple[float, ...], durations: list[float]) -> list[str]:
    if measured.absent:
        return [f"absent: {measured.absent}"]
    ratios = [f" ({mine / base:.2f})" for mine, base in zip(measured.clips, ours, strict=True)] if ours else None
    clips = [f"{seconds:.2f}" for seconds in measured.clips]
    return [
        *(clip + ratio for clip, ratio in zip(clips, ratios or [""] * len(clips), strict=True)),
        f"{measured.clips[-1] / durations[-1]:.3f}",
        f"{measured.encoder:.2f}",
        f"{1000 * measured.first_token:.0f}",
        f"{1000 * measured.token:.1f}",
        str(measured.peak_mib),
        " / ".join(map(str, measured.tokens)),
    ]


def _filled(row: list[str], width: int) -> list[str]:
    return row + ["-"] * (width - len(row))


def facts(results: dict[str, Any]) -> list[str]:
    """Where, when and on what the figures were taken."""
    machine, versions = results["machine"], results["versions"]
    clips = (f"{clip['name']} ({clip['seconds']:.1f} s)" for clip in results["clips"])
    hardware = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB of memory"
    return [
        f"{results['date']}: {hardware}; threads: {machine['threads']}; load before {machine['load_average']:.1f}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"Clips: {'; '.join(clips)}",
    ]


def print_tables(results: dict[str, Any]) -> None:
    console = Console()
    for line in facts(results):
        console.print(line, highlight=False, markup=False)
    for table in tables(results):
        # On its side: a terminal is narrower than a page.
        headings, *lines = zip(table.header, *table.rows, strict=True)
        shown = RichTable(title=table.title, title_justify="left")
        for heading in headings:
            shown.add_column(heading, overflow="fold")
        for cells in lines:
            shown.add_row(*map(Text, cells))
        console.print(shown)


def markdown(results: dict[str, Any]) -> str:
    """The facts as a list, then each table under its title."""
    parts = ["\n".join(f"- {line}" for line in facts(results))]
    for table in tables(results):
        lines = [table.header, ["---", *["---:"] * (len(table.header) - 1)], *table.rows]
        parts += [f"**{table.title}**", "\n".join(_line(cells) for cells in lines)]
    return "\n\n".join(parts)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def rewrite(page: Path, results: dict[str, Any]) -> None:
    """Put the tables between the markers of ``page``; ValueError where it has none."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no {BEGIN} followed by {END}")
    page.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n\n{END}{after}", encoding="utf-8")
