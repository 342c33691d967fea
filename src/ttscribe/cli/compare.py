"""``ttscribe compare``: a program on two devices in lockstep, and the first operation that differs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttscribe.cli._programs import PROGRAMS, TunedOption, chosen_policy, from_factory, settings, weights
from ttscribe.cli._terminal import Table
from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from ttscribe.compiler.settings import CompileSettings
    from ttscribe.lockstep import Comparison, StepFound
    from ttscribe.lockstep.difference import Difference
    from ttscribe.lockstep.workload import Cut, Workload
    from ttscribe.whisper.model import WhisperModel

_KEPT = Path("compared")


def compare(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A name from 'ttscribe models', a folder or a .pt.")
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(metavar="PACKAGE:FACTORY", help="Any module: FACTORY() gives it and a tuple of example inputs."),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="What is compared: ttnn (a card or the simulator), emulator, exact.")
    ] = "ttnn",
    reference: Annotated[
        str,
        typer.Option(
            "--with", metavar="NAME", help="The reference: emulator, exact (the emulator in float32), pytorch, ttnn."
        ),
    ] = "emulator",
    program: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Only this: {', '.join(PROGRAMS)}; of a module, graph_0 ...")
    ] = None,
    precision: Annotated[str | None, typer.Option(metavar="POLICY", help="Such as bfp8-hifi3, or FILE.json.")] = None,
    tuned: TunedOption = None,
    first: Annotated[int, typer.Option("--from", metavar="STEP", help="Begin at this step of the program.")] = 0,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Compare so many steps, no more.")] = None,
    layers: Annotated[int | None, typer.Option(metavar="N", help="Whisper's first N layers of each side.")] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="N", help="The first N mel frames of 3000, two for a row of the encoder.")
    ] = None,
    vocabulary: Annotated[int | None, typer.Option(metavar="N", help="The first N tokens of the vocabulary.")] = None,
    audio: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The speech that is heard; else what comes with the weights.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(metavar="E", help="Largest relative error of a step; by default the precision's.")
    ] = None,
    keep: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where what the first step that is off was given goes.")
    ] = _KEPT,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Seeded random weights at the model's true shape.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the comparisons as JSON.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use only models that are on this machine.")] = False,
) -> None:
    """Run programs on two devices, operation by operation, and name the first operation that differs.

    Each operation is made on the same inputs, those of the reference, and besides on each device's own values (end to
    end). Relative error is the size of the difference beside the reference's; a result that is off by a factor
    correlates perfectly. Of the first operation that is off, inputs and expected results are kept, and a Python script
    that makes that one call, which needs only ttnn, torch and safetensors.

    For a simulator, cut a Whisper model down: --layers keeps the first layers of encoder and decoder, --frames the
    beginning of the window, --vocabulary the first tokens (of the embedding and the last projection). What is kept has
    its own weights and real features; texts mean nothing then. --from and --steps leave the shapes as they are.

    The exit status is 1 where a step is off, or what comes out is further off than the accuracy contract allows.
    """
    if (model is None) == (module is None):
        raise OptionError("give a MODEL, or --module PACKAGE:FACTORY")
    if device == "pytorch":
        raise OptionError("PyTorch has no operations of TT-NN's to compare: name it with --with")
    from ttscribe.lockstep import Range, opened
    from ttscribe.lockstep import compare as compare_programs
    from ttscribe.lockstep.workload import Cut

    chosen = chosen_policy(precision, of_module=module is not None).name
    cut = Cut(layers, frames, vocabulary)
    if module is not None and str(cut):
        raise OptionError("--layers, --frames and --vocabulary cut Whisper models: a module is cut by its factory")
    made = []
    with opened(device, chosen) as ours, opened(reference, chosen) as theirs:
        how = settings(chosen, None, model or str(module), board=ours.board or theirs.board or "n150", tuned=tuned)
        if module is not None:
            workloads = _of_module(module, program, how)
        else:
            loaded = weights(str(model), random_weights=random_weights, offline=offline)
            workloads = _of_whisper(loaded, program, how, audio, cut)
        for workload in workloads:
            told = _Told(quiet=json_)
            told.begin(workload, ours.told, theirs.told)
            made.append(
                compare_programs(
                    workload, ours, theirs, steps=Range(first, steps), tolerance=tolerance, folder=keep, watch=told.step
                )
            )
            told.end(made[-1])
    if json_:
        typer.echo(json.dumps([each.to_json() for each in made], indent=1))
    if not all(each.agrees for each in made):
        raise typer.Exit(1)


def _of_whisper(
    loaded: tuple["WhisperModel", tuple[int, ...]],
    program: str | None,
    how: "CompileSettings",
    audio: Path | None,
    cut: "Cut",
) -> Iterator["Workload"]:
    from ttscribe.lockstep.workload import whisper_workloads

    if program is not None and program not in PROGRAMS:
        raise OptionError(f"no program is called {program!r}; there is {', '.join(PROGRAMS)}")
    model, suppress = loaded
    return whisper_workloads(model, suppress, PROGRAMS if program is None else (program,), how, audio, cut)


def _of_module(module: str, program: str | None, how: "CompileSettings") -> Iterator["Workload"]:
    from ttscribe.lockstep.workload import module_workloads

    made = list(module_workloads(*from_factory(module), how))
    chosen = [each for each in made if program in (None, each.compiled.program.name)]
    if not chosen:
        known = ", ".join(each.compiled.program.name for each in made)
        raise OptionError(f"--module {module}: no program is called {program!r}; there is {known or 'none'}")
    return iter(chosen)


_HEADS = ("step", "call", "correlation", "relative error", "largest error", "end to end", "ms", "reference ms")


class _Told:
    """Prints a comparison as it goes: where TT-NN ends the process, the last row says how far it came."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._table = quiet, Table(5, 48, 11, 14, 13, 10, 9, 12)

    def begin(self, workload: "Workload", device: str, reference: str) -> None:
        if not self._quiet:
            program = workload.compiled.program
            typer.echo(f"{program.name}, {program.precision}: {device} beside {reference}, on {workload.about}")
            self._table.row(*_HEADS)

    def step(self, found: "StepFound") -> None:
        if self._quiet:
            return
        alone, end = found.alone, found.end_to_end
        self._table.row(
            str(found.step),
            found.target,
            "-" if alone is None or alone.correlation is None else f"{alone.correlation:.7f}",
            "-" if alone is None else f"{alone.error:.1e}",
            "-" if alone is None else f"{alone.largest:.3g}",
            "-" if end is None else f"{end.error:.1e}",
            _ms(found.seconds),
            _ms(found.reference_seconds),
        )

    def end(self, made: "Comparison") -> None:
        if self._quiet:
            return
        for name, each in made.outputs.items():
            typer.echo(f"{name}, end to end: {_all_of(each)}")
        if made.kept is not None:
            typer.echo(f"kept: {made.kept.values}; to make this call alone: python {made.kept.script}")
        typer.echo(f"{made.verdict}\n")


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.1f}"


def _all_of(each: "Difference") -> str:
    correlation = "" if each.correlation is None else f"correlation {each.correlation:.7f}, "
    return f"{correlation}relative error {each.error:.1e}, largest error {each.largest:.3g}"
