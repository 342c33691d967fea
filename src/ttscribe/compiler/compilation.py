"""From a captured graph to a verified program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.lowering import lower
from ttscribe.compiler.passes import stages
from ttscribe.compiler.program import Program
from ttscribe.compiler.report import CompileReport, refuse_fallbacks
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.verify import verify


@dataclass(frozen=True)
class Compiled:
    """A captured graph, its program as lowered and as it is after every pass, and what became of each operation."""

    captured: CapturedGraph
    lowered: Program
    program: Program
    report: CompileReport

    @property
    def params(self) -> Mapping[str, Tensor | None]:
        """The data of the program's params by name, None for what is known only when the program runs."""
        return {value.name: self.captured.params[value.name] for value in self.program.params}


def compile_graph(captured: CapturedGraph, settings: CompileSettings) -> Compiled:
    """Lower, run every pass, verify after each; raises FallbackRefused where ``settings`` are strict."""
    # torch.compile calls its backends where every tensor that is made has no data; positions and masks are looked at.
    with unset_fake_temporarily():
        programs = dict(compile_stages(captured, settings))
    lowered, final = programs["lowered"], list(programs.values())[-1]
    report = CompileReport.of(lowered, final)
    if settings.strict:
        refuse_fallbacks(report)
    return Compiled(captured, lowered, final, report)


def compile_stages(captured: CapturedGraph, settings: CompileSettings) -> Iterator[tuple[str, Program]]:
    """The program as lowered and after each pass, each verified."""
    for name, program in stages(lower(captured, settings), settings):
        verify(program)
        yield name, program
