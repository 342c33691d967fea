"""``ttscribe record``: what TT-NN's kernels compute, call by call, on a card or the simulator."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import typer

from ttscribe.errors import OptionError


def record(
    cases: Annotated[Path, typer.Option(metavar="FILE", help="Cases as JSON lines; results in them are passed over.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where cases are added.")],
    values: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Values of the inputs' keys (safetensors), where they are not drawn."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="ttnn, or ttnn:n150 and no other board.")] = "ttnn",
    only: Annotated[str | None, typer.Option(metavar="PATTERN", help="Only cases of such names, as 'gelu.*'.")] = None,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds after which a case is given up.")] = 600.0,
) -> None:
    """Record calls of TT-NN with what its kernels make of them, on a card or the simulator.

    Each case runs in a process of its own: a call that is refused, ends the process, or does not end is a result too.
    FOLDER gets cases.jsonl and values.safetensors; cases that it has already, by name, are left as they are, so that an
    interrupted recording goes on, and anybody can add to it. docs/recording.md has the format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ttscribe.cases import Recorder, read_cases

    listed = [case for case in read_cases(cases) if only is None or fnmatch(case.name, only)]
    try:
        known = {} if values is None else load_file(values)
    except (OSError, SafetensorError) as error:
        raise OptionError(f"{values}: cannot be read ({error})") from error
    recorder = Recorder(output, device, timeout)
    there, left, counts = recorder.names, 0, dict.fromkeys(("ok", "refused", "unsupported", "timeout"), 0)
    for case in listed:
        if case.name in there:
            left += 1
            continue
        lacking = [name for name, given in case.inputs.items() if given.drawn is None and given.key not in known]
        if lacking:
            typer.echo(f"{case.name}: left out: no values of {', '.join(lacking)}")
            continue
        made = recorder.record(case, known)
        counts[made.status] += 1
        typer.echo(f"{case.name}: {made.told}")
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    typer.echo(f"{output}: {told}; {left} were there")
