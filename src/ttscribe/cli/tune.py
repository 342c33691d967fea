"""``ttscribe tune``: which configuration each kind of call has, by rules, a mock board, the cost model, and a card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttscribe.cli._programs import PROGRAMS, BoardName, settings, shape
from ttscribe.cli._terminal import columns, note
from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from ttscribe.check import Checkable
    from ttscribe.compiler.settings import CompileSettings
    from ttscribe.compiler.tuned import TunedCall, TunedFile
    from ttscribe.tune import Clock
    from ttscribe.whisper.model import WhisperModel


def tune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name from 'ttscribe models', a folder or a .pt.")],
    board: Annotated[
        BoardName, typer.Option(help="The board to tune for; one chip of an n300 is as another.")
    ] = "n150",
    precision: Annotated[str | None, typer.Option(metavar="POLICY", help="Such as bfp8-hifi3, or FILE.json.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Time candidates on this card, such as ttnn:n150.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write what was found, for --tuned FILE.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use only models that are on this machine.")] = False,
) -> None:
    """Find out which configurations TT-NN accepts of a model's matrix products, and which of them is the fastest.

    Candidates share a product out to the cores in other ways and change no bit of its result. Those that TT-NN's host
    software accepts on a mock board, beside what the program has in memory there, are timed on the card that --device
    names. Without one there is the cost model, which has no figures for how a product is shared out: then what TT-NN
    accepts is listed, and every call is kept as it is.
    """
    how = settings(precision, None, model, board=board)
    _require_card_of(board, device)
    from ttscribe.tune import tune as search

    programs = _programs(shape(model, offline=offline), how)
    found = search(programs, how.board, _clock(how, device), lambda call: note(call, quiet=device is None))
    _print(found, device)
    if output is not None:
        found.write(output)
        typer.echo(str(output), err=True)


def _require_card_of(board: BoardName, device: str | None) -> None:
    """Raise an error for a device whose times are not the board's."""
    if device is None:
        return
    from ttscribe.devices import require_values
    from ttscribe.devices.ttnn.simulator import refuse_time

    refuse_time("there is nothing to tune by")
    if device not in ("ttnn", f"ttnn:{board}"):
        raise OptionError(f"{device} does not tell {board}'s times: tune on ttnn:{board}")
    require_values(device)


def _programs(model: "WhisperModel", settings: "CompileSettings") -> "list[Checkable]":
    from ttscribe.check.programs import checkable
    from ttscribe.compiler.compilation import compile_graph
    from ttscribe.compiler.whisper_programs import capture_program

    # Every checkpoint has tokens that a step never picks: which they are is not in its program, only that there are.
    return [checkable(compile_graph(capture_program(name, model, suppress=(0,)), settings)) for name in PROGRAMS]


def _clock(settings: "CompileSettings", device: str | None) -> "Clock":
    from ttscribe.tune import measured, projected

    if device is None:
        return projected(settings.board)
    from ttscribe.devices import open_program_device

    return measured(open_program_device(device, settings.precision.name))


def _print(found: "TunedFile", device: str | None) -> None:
    heads = ("", "product", "calls", "tried", "accepted", "us as it is", "us at best", "chosen")
    columns([heads, *(_row(number, call) for number, call in enumerate(found.calls, 1))])
    for number, call in enumerate(found.calls, 1):
        typer.echo(f"\n{number}: {call.call}")
        for each in call.accepted:
            typer.echo(f"   {1e6 * each.seconds:,.1f} us: {each.configuration}")
    typer.echo(f"\n{_verdict(found, device)}")


def _row(number: int, call: "TunedCall") -> tuple[str, ...]:
    # What comes before the first argument that has a name.
    operands = call.call.partition("(")[2].partition("=")[0].rpartition(", ")[0]
    best = f"{1e6 * call.accepted[0].seconds:,.1f}" if call.accepted else "-"
    figures = (call.times, call.tried, len(call.accepted), f"{1e6 * call.present_s:,.1f}", best)
    return (str(number), operands, *map(str, figures), "as it is" if call.chosen is None else str(call.chosen))


def _verdict(found: "TunedFile", device: str | None) -> str:
    accepted, tried = sum(len(call.accepted) for call in found.calls), sum(call.tried for call in found.calls)
    said = (
        f"{accepted} of {tried} candidates are accepted by TT-NN {found.ttnn}'s host software on a mock {found.board}"
    )
    chosen = sum(call.chosen is not None for call in found.calls)
    if device is not None:
        return f"{said}; measured on {device}: {chosen} of {len(found.calls)} kinds of call are configured anew"
    if chosen:
        return f"{said}; projected: {chosen} of {len(found.calls)} kinds of call are configured anew"
    return f"{said}; the cost model does not tell them apart (projected): every call is kept as it is"
