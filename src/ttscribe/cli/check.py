"""``ttscribe check``: TT-NN's own host software says, on a mock board, whether a model's programs run and fit."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ttscribe.cli._programs import BoardName, TunedOption, from_factory, settings, shape
from ttscribe.cli._terminal import columns
from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from ttscribe.check import CheckReport, ProgramCheck


def check(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A name from 'ttscribe models', a folder or a .pt.")
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(metavar="PACKAGE:FACTORY", help="Any module: FACTORY() gives it and a tuple of example inputs."),
    ] = None,
    board: Annotated[
        BoardName, typer.Option(help="The board to validate for; n300x2 is both chips of an n300.")
    ] = "n150",
    precision: Annotated[str | None, typer.Option(metavar="POLICY", help="Such as bfp8-hifi3, or FILE.json.")] = None,
    blocklist: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON list of operations to keep on the host.")
    ] = None,
    tuned: TunedOption = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use only models that are on this machine.")] = False,
) -> None:
    """Validate programs for a Tenstorrent board, with no card: TT-NN's own host software on a mock board.

    Every call is made through TT-NN's argument checks and memory allocators, then again for the size of buffers. The
    exit status is 0 only where every call is accepted, everything fits, and nothing stays on the host. Values, time and
    what is inside kernels cannot be seen this way.
    """
    if (model is None) == (module is None):
        raise OptionError("give a MODEL, or --module PACKAGE:FACTORY")
    from ttscribe.check import check_programs
    from ttscribe.check.programs import checkable_whisper, module_programs

    how = settings(precision, blocklist, model or str(module), of_module=module is not None, board=board, tuned=tuned)
    if model is not None:
        programs = checkable_whisper(shape(model, offline=offline), how)
    else:
        programs = module_programs(*from_factory(str(module)), how)
    report = check_programs(programs, board)
    if json_:
        typer.echo(json.dumps(report.to_json(), indent=1))
    else:
        _print(report)
    if not report.accepted:
        raise typer.Exit(1)


def _print(report: "CheckReport") -> None:
    head = (
        "program",
        "calls",
        "device ops",
        "host segments",
        "DRAM MiB",
        "peak L1 B/core",
        "at",
        "programs",
        "check s",
    )
    columns([head, *map(_row, report.programs)])
    last = report.programs[-1] if report.programs else None
    if last is not None:
        typer.echo(
            f"DRAM held by all: {last.dram_held / 2**20:,.0f} of {report.dram / 2**20:,.0f} MiB; "
            f"L1: {report.l1:,} B a core"
        )
    for finding in report.findings:
        typer.echo(str(finding))
    typer.echo(report.verdict)


def _row(program: "ProgramCheck") -> tuple[str, ...]:
    peak = "-" if program.peak_l1 is None else f"{program.peak_l1:,}"
    return (
        program.program,
        str(program.calls),
        str(program.launches),
        str(program.host_segments),
        f"{program.dram_added / 2**20:+,.1f}",
        peak,
        program.peak_l1_call or "-",
        str(program.cached_programs),
        f"{program.seconds:.1f}",
    )
