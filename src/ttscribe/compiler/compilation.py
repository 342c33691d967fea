"""From a captured graph to a verified program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ttscribe.compiler.blocklist import Blocklist
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.lowering import lower
from ttscribe.compiler.passes import Precision, stages
from ttscribe.compiler.program import Program
from ttscribe.compiler.report import CompileReport, refuse_fallbacks
from ttscribe.compiler.verify import verify


@dataclass(frozen=True)
class Settings:
    """How to compile: ``strict`` makes any operation left on the host an error."""

    precision: Precision
    strict: bool = False
    blocklist: Blocklist = field(default_factory=Blocklist)


@dataclass(frozen=True)
class Compiled:
    """A program, the data of its params as far as known, and what became of each operation."""

    program: Program
    params: Mapping[str, Tensor | None]
    report: CompileReport


def compile_graph(captured: CapturedGraph, settings: Settings) -> Compiled:
    """Lower, run every pass, verify after each."""
    programs = dict(compile_stages(captured, settings))
    final = list(programs.values())[-1]
    report = CompileReport.of(programs["lowered"], final)
    params = {value.name: captured.params[value.name] for value in final.params}
    if settings.strict:
        refuse_fallbacks(report)
    return Compiled(final, params, report)


def compile_stages(captured: CapturedGraph, settings: Settings) -> Iterator[tuple[str, Program]]:
    """The program as lowered and after each pass, each verified."""
    for name, program in stages(lower(captured, settings.blocklist), settings.precision):
        verify(program)
        yield name, program
