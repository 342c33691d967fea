"""``ttscribe bench``: speed and memory of a model, beside this machine's limits and, if asked for, beside its peers."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttscribe.cli import _completion as complete
from ttscribe.cli import _model as loading
from ttscribe.cli._terminal import columns, note
from ttscribe.errors import OptionError, OutputError
from ttscribe.files import make_folder, write_text

if TYPE_CHECKING:
    from ttscribe.bench.request import Request
    from ttscribe.bench.results import Results


def bench(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", autocompletion=complete.models, help="A name from 'ttscribe models', a folder or a .pt."
        ),
    ] = None,
    audio: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AUDIO", help="Recordings of speech, short and long; else packaged ones, 10 s and four minutes."
        ),
    ] = None,
    device: loading.Device = "cpu",
    precision: loading.Precision = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPU threads of every system; every core when not given.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds, in which the systems take turns.")] = 3,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="Measure transformers, faster-whisper and whisper.cpp too; installs them for itself."
        ),
    ] = False,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Seeded random weights at the model's true shape.")
    ] = False,
    json_: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Save every run.")] = None,
    saved: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Show what --json saved, and measure nothing.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--markdown", metavar="PAGE", help="Put the tables between the page's markers.")
    ] = None,
) -> None:
    """Measure a model on this machine: time to the first token, tokens, whole recordings, loading, memory.

    Each run is a process of its own. With --peers the other programs decode the same weights and recordings, in turn
    with ttscribe, so that a slow minute hits all alike; on the first use they are installed into an environment of
    their own in ttscribe's cache folder. Let nothing else run on the machine meanwhile.
    """
    if (model is None) == (saved is None):
        raise OptionError("give a MODEL to measure, or --from FILE to show what was measured")
    if saved is not None and (ignored := list(_measuring(ctx))):
        raise OptionError(f"--from shows what was measured: leave out {', '.join(ignored)}")
    from ttscribe.bench.request import Request
    from ttscribe.bench.results import to_json
    from ttscribe.bench.tables import rewrite

    if json_ is not None:
        _require_place(json_)
    if saved is not None:
        results = _read(saved)
    else:
        results = _measured(
            Request(str(model), tuple(audio or ()), device, precision, threads, runs, peers, random_weights), page
        )
    _show(results)
    if json_ is not None:
        write_text(json_, to_json(results))
        note(str(json_), quiet=False)
    if page is not None:
        rewrite(page, results)
        note(str(page), quiet=False)


def _measuring(ctx: typer.Context) -> Iterator[str]:
    """Options on the command line that say how to measure."""
    for name in ("device", "precision", "threads", "runs", "peers", "random_weights"):
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            yield f"--{name.replace('_', '-')}"


def _require_place(path: Path) -> None:
    """Before hours are spent on what could not be saved."""
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; name a file")
    make_folder(path.parent)


def _read(path: Path) -> "Results":
    from ttscribe.bench.results import from_json

    try:
        return from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"--from {path}: {error.strerror}") from error
    except ValueError as error:
        raise OptionError(f"--from {path}: not what 'ttscribe bench --json' saves ({error})") from error


def _measured(request: "Request", page: Path | None) -> "Results":
    from ttscribe.bench.run import measure
    from ttscribe.bench.tables import require_markers

    if page is not None:
        require_markers(page, request.name)
    return measure(request, lambda line: note(line, quiet=False))


def _show(results: "Results") -> None:
    from ttscribe.bench.tables import facts, tables

    for line in facts(results):
        typer.echo(line)
    for table in tables(results):
        typer.echo(f"\n{table.title}")
        columns([table.header, *table.rows])
