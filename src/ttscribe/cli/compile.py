"""``ttscribe compile``: a model's programs, at any pass, as a summary, text, JSON or a script."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttscribe.cli._programs import PROGRAMS, ProgramName, TunedOption, settings, weights
from ttscribe.cli._terminal import columns
from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from ttscribe.compiler.program import Program
    from ttscribe.compiler.settings import CompileSettings
    from ttscribe.whisper.model import WhisperModel


def compile_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name from 'ttscribe models', a folder or a .pt.")],
    program: Annotated[ProgramName | None, typer.Option(help="Only this program; without it, all of them.")] = None,
    precision: Annotated[str | None, typer.Option(metavar="POLICY", help="Such as bfp8-hifi3, or FILE.json.")] = None,
    after: Annotated[
        str | None, typer.Option("--pass", metavar="NAME", help="The program after this pass ('lowered': before any).")
    ] = None,
    print_: Annotated[bool, typer.Option("--print", help="Print the program as text.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the program as JSON.")] = False,
    emit: Annotated[
        Path | None,
        typer.Option(metavar="SCRIPT", help="Write the program as a Python script that needs only ttnn and torch."),
    ] = None,
    blocklist: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON list of operations to keep on the host.")
    ] = None,
    tuned: TunedOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse to leave any operation on the host.")] = False,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Seeded random weights at the model's true shape.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use only models that are on this machine.")] = False,
) -> None:
    """Compile Whisper's programs to TT-NN and show them.

    Without --print, --json or --emit there is one line for each program: its TT-NN calls and the device operations that
    they launch, host segments, floating-point operations and bytes. Nothing here runs on a card.
    """
    if sum((print_, json_, emit is not None)) > 1:
        raise OptionError("choose one of --print, --json and --emit")
    if (json_ or emit is not None) and program is None:
        raise OptionError("--json and --emit are for one program: name it with --program")
    loaded = weights(model, random_weights=random_weights, offline=offline)
    chosen = PROGRAMS if program is None else (program,)
    how = settings(precision, blocklist, model, strict=strict, tuned=tuned)
    stages = {name: _stage(name, loaded, how, after) for name in chosen}
    if print_:
        from ttscribe.compiler.text import to_text

        typer.echo("\n".join(map(to_text, stages.values())), nl=False)
    elif json_:
        from ttscribe.compiler.serialise import to_json

        typer.echo(to_json(stages[chosen[0]], indent=1))
    elif emit is not None:
        _emit(stages[chosen[0]], emit)
    else:
        columns(
            [("program", "calls", "device ops", "host segments", "GFLOP", "MiB moved"), *map(_row, stages.values())]
        )


def _stage(
    name: ProgramName,
    model: tuple["WhisperModel", tuple[int, ...]],
    settings: "CompileSettings",
    after: str | None,
) -> "Program":
    from ttscribe.compiler.compilation import compile_graph, compile_stages
    from ttscribe.compiler.report import CompileReport, refuse_fallbacks
    from ttscribe.compiler.whisper_programs import capture_program

    captured = capture_program(name, model[0], suppress=model[1])
    if after is None:
        return compile_graph(captured, settings).program
    programs = dict(compile_stages(captured, settings))
    if after not in programs:
        raise OptionError(f"no pass is called {after!r}; there is {', '.join(programs)}")
    if settings.strict:
        refuse_fallbacks(CompileReport.of(programs["lowered"], list(programs.values())[-1]))
    return programs[after]


def _emit(program: "Program", script: Path) -> None:
    from ttscribe.compiler.emit import to_script
    from ttscribe.files import write_text

    write_text(script, to_script(program, script.name))


def _row(program: "Program") -> tuple[str, ...]:
    from ttscribe.compiler.cost import program_cost

    cost = program_cost(program)
    calls = sum(op.target != "ttnn.deallocate" for op in program.ops)
    moved = (cost.bytes_read + cost.bytes_written) / 2**20
    figures = (calls, cost.device_operations, len(program.host_segments), f"{cost.flops / 1e9:.2f}", f"{moved:.1f}")
    return (program.name, *map(str, figures))
