"""``ttscribe batch``: many recordings by several processes, which can be gone on with after any end."""

import inspect
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ttscribe.cli import _model as loading
from ttscribe.cli._jobs import Job, plan
from ttscribe.cli._terminal import complain, note, show_warnings
from ttscribe.cli.transcribe import Options, transcribe
from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from ttscribe.batch import Entry, Item

SLOWEST = 3
# Of transcribe's options those that a batch has otherwise, or that make no sense for files without number.
_NOT_OF_A_BATCH = ("files", "output_dir", "resume", "quiet", "prefix", "input_format", "sample_rate")


def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Files, folders, patterns, manifests (CSV, JSON lines or Parquet), and addresses such as s3://bucket/*.wav.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the transcripts and of index.jsonl.")
    ],
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes, each with a model of its own.")] = 1,
    split: Annotated[
        float | None,
        typer.Option(metavar="MINUTES", help="Share what lasts longer among the workers, in parts cut at pauses."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Have the workers on a Ray cluster: HOST:PORT, auto, or local for one here."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the index of DIR ends.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing on standard error but errors.")] = False,
    **others: Any,
) -> None:
    """Write many recordings as text or subtitles, and an index of what became of each.

    A recording that cannot be used is reported and listed as failed, and the others are done; the exit status is then
    1. A process that dies is replaced. Whatever ends the command, --resume goes on with it: nothing is lost, and
    nothing is done twice.
    """
    if split is not None and not split > 0:
        raise OptionError(f"--split takes minutes above 0, not {split:g}")
    given = {**_defaults(), "prefix": None, "input_format": None, "sample_rate": None, **others}
    options = Options.of(given)
    show_warnings(quiet=quiet)
    from ttscribe.batch import LOCAL, Index, Plan, Processes, cluster, recordings, run

    jobs, _ = plan(recordings(inputs), options.format_name, output, resume=False)
    index = Index(output)
    before = index.entries()
    if before and not resume:
        raise OptionError(f"{index.path} is there: --resume goes on with it; for another batch name another folder")
    index.mend()
    items, passed_over = _left(jobs, before)
    if passed_over:
        note(f"{output}: passed over {passed_over} of {len(jobs)}, done already", quiet=quiet)
    if not items:
        return
    name = loading.named(
        given["model"], language=given["language"], task=given["task"], offline=given["offline"], quiet=quiet
    )
    if split is None:
        workers = min(workers, len(items))
    load = {
        "name_or_path": name,
        "device": given["device"],
        "precision": given["precision"],
        # Of a cluster's machines nothing is known here.
        "threads": given["threads"] or max(1, (os.cpu_count() or 1) // (workers if ray in (None, LOCAL) else 1)),
        "offline": given["offline"],
    }
    began, entries = time.perf_counter(), []
    how = Plan(load, options.arguments, options.format_name, options.layout)
    with (
        nullcontext(Processes(how)) if ray is None else cluster(ray, how, workers) as crew,
        closing(run(items, crew, workers, None if split is None else 60 * split)) as settled,
        _progress(len(items), quiet=quiet) as advance,
    ):
        for entry in settled:
            index.add(entry)
            entries.append(entry)
            advance(entry)
    _summary(entries, time.perf_counter() - began, quiet=quiet)
    if any(entry.error is not None for entry in entries):
        raise typer.Exit(1)


def _left(jobs: list[Job], before: "list[Entry]") -> "tuple[list[Item], int]":
    """What is still to be done, and how many are done already: those that have the very transcript that is asked for.

    Raises OptionError where a transcript would overwrite that of another recording.
    """
    from ttscribe.batch import Item, place

    # However a path is spelled. The last line of a recording counts.
    known = {place(entry.output): entry for entry in before}
    left = []
    for job in jobs:
        assert job.output is not None
        entry = known.get(place(str(job.output)))
        if entry is not None and place(entry.source) != place(job.source):
            raise OptionError(
                f"{job.output} is the transcript of {entry.source}: name another folder for {job.source}, "
                "or both in one batch"
            )
        if entry is None or entry.error is not None or not job.output.is_file():
            left.append(Item(job.source, job.output))
    return left, len(jobs) - len(left)


@contextmanager
def _progress(count: int, *, quiet: bool) -> Iterator[Any]:
    """A function that is told each entry: a bar on a terminal, a line for each elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda entry: _line(entry, quiet=quiet)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    began, sound, failed = time.perf_counter(), 0.0, 0
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("0 failed", total=count)

        def advance(entry: "Entry") -> None:
            nonlocal sound, failed
            sound, failed = sound + entry.seconds, failed + (entry.error is not None)
            if entry.error is not None:
                bar.console.print(f"ttscribe: error: {_failure(entry)}", highlight=False, markup=False)
            rate = sound / (time.perf_counter() - began)
            bar.update(task, advance=1, description=f"{failed} failed, {rate:.1f} x real time")

        yield advance


def _line(entry: "Entry", *, quiet: bool) -> None:
    if entry.error is not None:
        complain(_failure(entry))
    else:
        note(f"{entry.output}: {entry.seconds:.1f} s of audio in {entry.work_seconds:.1f} s", quiet=quiet)


def _failure(entry: "Entry") -> str:
    error = entry.error or ""
    return error if entry.source in error else f"{entry.source}: {error}"


def _summary(entries: "list[Entry]", elapsed: float, *, quiet: bool) -> None:
    done = [entry for entry in entries if entry.error is None]
    sound = sum(entry.seconds for entry in done)
    note(
        f"{len(done)} done, {len(entries) - len(done)} failed: {sound:.1f} s of audio in {elapsed:.1f} s "
        f"({sound / elapsed:.1f} x real time)",
        quiet=quiet,
    )
    slowest = sorted(done, key=lambda entry: -entry.work_seconds)[:SLOWEST]
    if len(done) > SLOWEST:
        note("slowest: " + ", ".join(f"{entry.source} ({entry.work_seconds:.1f} s)" for entry in slowest), quiet=quiet)


def _shared() -> list[inspect.Parameter]:
    """Transcribe's own parameters that a batch has too."""
    parameters = inspect.signature(transcribe).parameters.values()
    return [each for each in parameters if each.name not in _NOT_OF_A_BATCH]


def _defaults() -> dict[str, Any]:
    return {each.name: each.default for each in _shared()}


# Typer reads a command's options from its signature: these are written once, in transcribe's.
_own = [each for each in inspect.signature(batch).parameters.values() if each.kind is not each.VAR_KEYWORD]
batch.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [each.replace(kind=each.KEYWORD_ONLY) for each in (*_own, *_shared())]
)
batch.__annotations__ = {each.name: each.annotation for each in (*_own, *_shared())}
