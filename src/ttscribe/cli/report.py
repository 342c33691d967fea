"""``ttscribe report``: everything that is known of a model on a board, as text, JSON, Markdown and one HTML page."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttscribe.cli._programs import BoardName, settings, shape
from ttscribe.cli._terminal import ProgressBar, columns
from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ttscribe.compiler.compilation import Compiled
    from ttscribe.reports.make import Request
    from ttscribe.reports.schema import ModelReport


def report(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name from 'ttscribe models', a folder or a .pt.")],
    board: Annotated[
        BoardName, typer.Option(help="The board to report for; n300x2 is both chips of an n300, figures are one's.")
    ] = "n150",
    precision: Annotated[str | None, typer.Option(metavar="POLICY", help="Such as bfp8-hifi3, or FILE.json.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Write all pages here; without it, none.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Put all reports beside FOLDER into this file's model table.")
    ] = None,
    speech: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Judge accuracy by these recordings and their texts; needs weights."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Judge and measure on this card, such as ttnn:n150; a simulator and emulator:kernels have no time.",
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Try each lowered operation on the host, and write the blocklist it would need."),
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use only models that are on this machine.")] = False,
) -> None:
    """Compile a model's programs, validate them, project their time, and say where each figure comes from.

    Every figure carries a word: validated, emulated, simulated, projected or measured. With --output, FOLDER gets
    report.json, report.md, input_variations.md, performance.md, and report.html, which has all three and needs no
    network. With --speech (LibriSpeech's layout, or a manifest.tsv with columns file and text) the model's own weights
    are compared with float32 PyTorch on the CPU, on the emulator or the card. The exit status is 1 where the mock board
    refuses a call, or what ran is not what was compiled.
    """
    if table is not None and output is None:
        raise OptionError("--table lists the reports beside --output's folder: name that too")
    from ttscribe.devices.ttnn.simulator import refuse_time
    from ttscribe.evaluation.accuracy import KERNELS
    from ttscribe.evaluation.speech import read_speech

    if tune and device is not None:
        refuse_time("--tune has nothing to measure by")
        if device == KERNELS:
            raise OptionError(f"{device} has values and no time, so --tune has nothing to measure by")
    clips = () if speech is None else read_speech(speech)
    from ttscribe.reports.make import Request, make
    from ttscribe.reports.model_table import write_table
    from ttscribe.reports.pages import write
    from ttscribe.reports.schema import Status
    from ttscribe.whisper.checkpoints.hub import canonical_name

    how = settings(precision, None, model, board=board)
    request = Request(canonical_name(model), shape(model, offline=offline), how, device, clips)
    bar = ProgressBar(model, quiet=speech is None)
    with bar.shown():
        made, compiled = make(request, offline=offline, progress=bar.update)
    _print(made)
    if output is not None:
        for path in write(made, output):
            typer.echo(str(path), err=True)
        if table is not None:
            write_table(table, output.resolve().parent)
            typer.echo(str(table), err=True)
    if tune:
        _tune(request, compiled, output)
    if made.status is Status.FAILED:
        raise typer.Exit(1)


def _print(made: "ModelReport") -> None:
    from ttscribe.reports.pages import card_command, shown
    from ttscribe.reports.schema import FIGURES, in_order

    reasons = f" ({'; '.join(made.reasons)})" if made.reasons else ""
    typer.echo(f"{made.status.value} {made.model} on {made.board}, {made.precision}{reasons}")
    columns([(FIGURES[name][1], shown(each), each.provenance.value, each.source) for name, each in in_order(made)])
    for line in (*made.fallbacks, *made.findings):
        typer.echo(line)
    typer.echo(f"on a card: {card_command(made)}")


def _tune(request: "Request", compiled: "Sequence[Compiled]", output: Path | None) -> None:
    from dataclasses import asdict

    from ttscribe.devices import open_program_device
    from ttscribe.files import write_text
    from ttscribe.reports.constants import CHIPS
    from ttscribe.reports.tuning import blocks, measured, projected, trials

    settings, device = request.settings, request.device
    if device is None:
        clock = projected(CHIPS[settings.board.name])
    else:
        clock = measured(open_program_device(device, settings.precision.name))
    tried = list(trials(compiled, settings, clock))
    heads = ("program", "operation", "lowered us", "in PyTorch us", "moved KiB", "better")
    rows = [
        (
            each.program,
            each.target,
            f"{1e6 * each.lowered_s:,.0f}",
            f"{1e6 * each.host_s:,.0f}",
            f"{each.moved / 1024:,.0f}",
            "in PyTorch" if each.better_on_host else "lowered",
        )
        for each in tried
    ]
    columns([heads, *rows])
    entries = blocks(tried, request.name)
    if output is not None:
        write_text(output / "blocklist.json", json.dumps([asdict(block) for block in entries], indent=1) + "\n")
    told = "projected" if device is None else f"measured on {device}"
    typer.echo(f"blocklist entries that this adds: {len(entries)} ({told})")
