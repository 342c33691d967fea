"""The subcommands of ``ttscribe``, one file each, and what they share.

Modules that need torch are imported inside the functions that use them: ``ttscribe --help`` answers at once.
"""

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ttscribe import __version__
from ttscribe.cli._decoding import GroupedCommand, dashes
from ttscribe.cli._terminal import complain
from ttscribe.cli.batch import batch
from ttscribe.cli.bench import bench
from ttscribe.cli.check import check
from ttscribe.cli.compare import compare
from ttscribe.cli.compile import compile_
from ttscribe.cli.doctor import doctor
from ttscribe.cli.emit import emit
from ttscribe.cli.languages import languages
from ttscribe.cli.listen import listen
from ttscribe.cli.models import models
from ttscribe.cli.record import record
from ttscribe.cli.report import report
from ttscribe.cli.serve import serve
from ttscribe.cli.transcribe import transcribe
from ttscribe.cli.tune import tune
from ttscribe.errors import TtscribeError


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TtscribeError as error:
            complain(error)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ttscribe {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Speech recognition with Whisper: text and subtitles from any audio or video file."""


app.command(cls=GroupedCommand, context_settings={"token_normalize_func": dashes})(transcribe)
app.command(cls=GroupedCommand, context_settings={"token_normalize_func": dashes})(batch)
app.command()(listen)
app.command()(serve)
app.command()(languages)
app.command(name="compile")(compile_)
app.command()(check)
app.command()(compare)
app.command()(emit)
app.command()(report)
app.command()(tune)
app.command()(bench)
app.command()(record)
app.command()(models)
app.command()(doctor)


def run() -> None:
    """Do what the command line says; raises SystemExit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Transcripts are UTF-8, on standard output as in files, whatever the locale.
        sys.stdout.reconfigure(encoding="utf-8")
    app(prog_name="ttscribe")
