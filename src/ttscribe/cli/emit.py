"""``ttscribe emit``: a model's programs as Python scripts that need only ttnn and torch."""

from pathlib import Path
from typing import Annotated

import typer

from ttscribe.cli._programs import PROGRAMS, ProgramName, TunedOption, settings, weights


def emit(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name from 'ttscribe models', a folder or a .pt.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the scripts go.")] = Path(),
    program: Annotated[ProgramName | None, typer.Option(help="Only this program; without it, all of them.")] = None,
    precision: Annotated[str | None, typer.Option(metavar="POLICY", help="Such as bfp8-hifi3, or FILE.json.")] = None,
    tuned: TunedOption = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Seeded random weights at the model's true shape.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use only models that are on this machine.")] = False,
) -> None:
    """Write each program as FOLDER/PROGRAM.py: what to debug on a card, or to hand to Tenstorrent."""
    from ttscribe.compiler.compilation import compile_graph
    from ttscribe.compiler.emit import to_script
    from ttscribe.compiler.whisper_programs import capture_program
    from ttscribe.files import make_folder, write_text

    make_folder(output)
    loaded, suppress = weights(model, random_weights=random_weights, offline=offline)
    how = settings(precision, None, model, tuned=tuned)
    for name in PROGRAMS if program is None else (program,):
        script = output / f"{name}.py"
        made = compile_graph(capture_program(name, loaded, suppress=suppress), how).program
        write_text(script, to_script(made, script.name))
        typer.echo(str(script))
