"""Results as tables: for a terminal, and in Markdown between the markers of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ttscribe.bench.figures import (
    Row,
    Share,
    arithmetic,
    compared_with,
    peers,
    ratio,
    rows,
    shares,
    value,
)
from ttscribe.bench.results import OURS, Results
from ttscribe.devices.provenance import Provenance
from ttscribe.errors import OutputError
from ttscribe.files import write_text
from ttscribe.reports.model_table import between_markers
from ttscribe.reports.pages import table

_EMULATED = "emulated: times are this CPU's, not a card's"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a heading; the first column says what a row is."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def facts(results: Results) -> Iterator[str]:
    """Where, when and on what the figures were taken, a line each."""
    machine = results.machine
    has = "features unknown" if machine.features is None else ", ".join(machine.features) or "without AVX2"
    yield f"{results.model}, {results.weights}, on {results.device}; {_rounds(results)}, {results.date}"
    yield _EMULATED if results.provenance is Provenance.EMULATED else results.provenance.value
    yield (
        f"{machine.cpu} ({has}), {machine.cores} cores, {machine.memory_gib} GiB of memory, {machine.system}; "
        f"threads: {machine.threads}; load average before: {machine.load_average:.1f}"
    )
    yield f"Recordings: {'; '.join(f'{clip.name} ({clip.seconds:.1f} s)' for clip in results.clips)}"
    for system in results.systems():
        yield f"{system}: {_about(results, system)}"
    if not shares(results):
        yield f"No share of this machine's limits is told: {arithmetic(results)} on {results.device} is not its own"


def tables(results: Results) -> list[Table]:
    """Figures; ratios where there are peers; shares of the machine's limits where these were measured."""
    return [each for each in (_figures(results), _ratios(results), _shares(results)) if each.rows]


def markdown(results: Results) -> str:
    """The facts as a list, then each table under its title."""
    parts = ["\n".join(f"- {line}" for line in facts(results))]
    parts += [
        "\n".join([f"**{each.title}**", *table([head or " " for head in each.header], each.rows)])
        for each in tables(results)
    ]
    return "\n" + "\n\n".join(parts) + "\n"


def markers(model: str) -> tuple[str, str]:
    """Between which a page has the tables of a model."""
    name = Path(model).name
    return f"<!-- bench:{name}:begin -->", f"<!-- bench:{name}:end -->"


def require_markers(page: Path, model: str) -> None:
    """Raise OutputError where ``page`` cannot be read or has no place for the tables of ``model``."""
    between_markers(_read(page), "", page.name, markers(model))


def rewrite(page: Path, results: Results) -> None:
    """Put the tables between the markers of ``page``; OutputError where it has none."""
    write_text(page, between_markers(_read(page), markdown(results), page.name, markers(results.model)))


def _read(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{page}: cannot be read ({error})") from error


def _rounds(results: Results) -> str:
    count = max(run.round for run in results.runs)
    return "one round" if count == 1 else f"median of {count} rounds"


def _about(results: Results, system: str) -> str:
    if absent := results.absent(system):
        return f"absent: {absent}"
    about = next(iter(results.rounds_of(system).values())).about
    return f"{about['arithmetic']}; {about['versions']}"


def _figures(results: Results) -> Table:
    systems = results.systems()
    lines = [[_name(row), *(_cell(row, value(results, row, system)) for system in systems)] for row in rows(results)]
    return Table("Figures", ["", *systems], lines)


def _ratios(results: Results) -> Table:
    theirs = peers(results)
    lines = [
        [row.name, compared_with(results, row) or "-", *(str(ratio(results, row, peer) or "-") for peer in theirs)]
        for row in rows(results)
        if row.compared and theirs
    ]
    title = "ttscribe's figure over each peer's in the same round, median (lowest–highest): below 1 ttscribe is better"
    return Table(title, ["", "compared with", *theirs], [_with_its_ratio(line, theirs) for line in lines])


def _with_its_ratio(line: Sequence[str], theirs: Sequence[str]) -> list[str]:
    name, peer, *ratios = line
    return [name, f"{peer}: {ratios[theirs.index(peer)]}" if peer in theirs else peer, *ratios]


def _shares(results: Results) -> Table:
    header = ["", "work", "time", "reached", "limit", "share"]
    return Table(f"{OURS} beside the limits of this machine", header, [_share(each) for each in shares(results)])


def _share(each: Share) -> list[str]:
    rate, limit = (f"{amount / 1e9:.1f} G{each.unit}/s" for amount in (each.rate, each.limit))
    work = f"{each.amount / 1e9:.2f} G{each.unit} {each.what}"
    return [each.stage, work, f"{1e3 * each.seconds:.1f} ms", rate, limit, f"{each.rate / each.limit:.0%}"]


def _name(row: Row) -> str:
    return f"{row.name}, {row.unit}" if row.unit else row.name


def _cell(row: Row, figure: float | None) -> str:
    return "-" if figure is None else row.shown(figure)
