"""How the commands speak: errors, notes and a progress bar on standard error, tables on standard output."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ttscribe.cli._stopping import tell
from ttscribe.errors import OutputError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from ttscribe.types import Progress

LONGEST_NAME = 24  # characters: leaves room for the bar in 80 columns
ERASE_LINE_AND_SHOW_CURSOR = "\r\x1b[2K\x1b[?25h"

_shown: "set[ProgressBar]" = set()


def complain(problem: object) -> None:
    """Report what went wrong, on one line."""
    typer.echo(f"ttscribe: error: {' '.join(str(problem).split())}", err=True)


def note(text: str, *, quiet: bool) -> None:
    """Say something that is neither the transcript nor an error."""
    if not quiet:
        typer.echo(text, err=True)


def write_out(text: str) -> None:
    """Write to standard output at once; OutputError where it cannot be written."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is left in the buffer would fail once more, with a traceback, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error


class _Warnings(logging.Handler):
    """What the library warns of, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(f"ttscribe: warning: {' '.join(record.getMessage().split())}", err=True)


def show_warnings(*, quiet: bool) -> None:
    """Say on standard error what the library warns of, such as a gap in a recording; say nothing when quiet."""
    logging.getLogger("ttscribe").handlers[:] = [logging.NullHandler() if quiet else _Warnings()]


class ProgressBar:
    """Seconds of audio done and to do; shown only where standard error is a terminal."""

    def __init__(self, name: str, *, quiet: bool) -> None:
        # Rich is imported only where the bar is shown.
        self._bar = None if quiet or not sys.stderr.isatty() else _bar(name)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Until the end of the block."""
        self._show()
        try:
            yield
        finally:
            self._hide()

    def update(self, progress: "Progress") -> None:
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.update(task, completed=progress.done, total=progress.total, seconds=progress.total)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Out of the way while a line is printed on what may be the same terminal."""
        self._hide()
        yield
        self._show()

    def _show(self) -> None:
        if self._bar is not None:
            _shown.add(self)
            self._bar.start()

    def _hide(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            _shown.discard(self)


def _bar(name: str) -> "Bar":
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    bar = Bar(
        TextColumn("{task.description}", table_column=Column(max_width=LONGEST_NAME, no_wrap=True)),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:.0f} of {task.fields[seconds]:.0f} s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task(escape(Path(name).name), total=None, seconds=0)
    return bar


def restore_terminal() -> None:
    """Take a bar away that is shown, where the process ends before the bar's block."""
    if _shown:
        # Not by the bar, whose lock the main thread may hold.
        tell(ERASE_LINE_AND_SHOW_CURSOR)


class Table:
    """Rows as they come, in columns of a fixed width; a longer cell takes the room that it needs."""

    def __init__(self, *widths: int) -> None:
        self._widths = widths

    def row(self, *cells: str) -> None:
        """Print one row."""
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)).rstrip())


def columns(rows: Sequence[Sequence[str]], *, indent: str = "") -> None:
    """Print rows in aligned columns, each as wide as it needs, so that no name is cut short."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo((indent + "  ".join(cells)).rstrip())
