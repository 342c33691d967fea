"""Fallback tuning: would an operation that can be lowered be faster in PyTorch, moves and lost traces included?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.compilation import Settings, compile_graph
from ttscribe.compiler.lowering.registry import target_name
from ttscribe.compiler.program import HostSpec, Program, TensorSpec
from ttscribe.errors import CompileError
from ttscribe.reports.hardware import HOST_LINK, Board
from ttscribe.reports.projection import Software, project


@dataclass(frozen=True, slots=True)
class Softwares:
    """What launches cost in a program that can be recorded as a trace, and in one that cannot."""

    traced: Software
    untraced: Software


@dataclass(frozen=True, slots=True)
class Trial:
    """One operation of one program, lowered or in PyTorch; seconds of a run of the program, *projected*.

    PyTorch's own time is taken as nothing, which favours the host; ``host_s`` has what it causes: the operations of the
    program launched one by one, for no trace holds a host segment, and ``moved`` bytes across the link.
    """

    program: str
    target: str
    lowered_s: float
    host_s: float
    moved: int

    @property
    def better_on_host(self) -> bool:
        return self.host_s < self.lowered_s


def trials(graphs: Sequence[CapturedGraph], settings: Settings, board: Board, softwares: Softwares) -> Iterator[Trial]:
    """Every operation that is lowered, each of one kind in a program together, tried on the host."""
    for captured in graphs:
        base = compile_graph(captured, settings).program
        lowered_s = seconds(base, board, softwares)
        for target in _lowered_targets(captured, base):
            block = Block(target, "tried on the host")
            blocked = replace(settings, strict=False, blocklist=Blocklist((*settings.blocklist.blocks, block)))
            try:
                tried = compile_graph(captured, blocked).program
            except CompileError:  # what it gives another operation cannot come from the host
                continue
            if tried.host_segments:
                yield Trial(captured.name, target, lowered_s, seconds(tried, board, softwares), moved(tried))


def seconds(program: Program, board: Board, softwares: Softwares) -> float:
    """A run's projected seconds: launched from a trace where there is no host segment, moves at the link's rate."""
    software = softwares.untraced if program.host_segments else softwares.traced
    total = project({program.name: program}, board, software).programs[program.name]
    return total.estimate_s + moved(program) / HOST_LINK.value


def moved(program: Program) -> int:
    """Bytes that cross between host and device in a run, besides inputs and outputs that are on the device."""
    crossing = 0
    for op in program.ops:
        if op.target == "ttnn.from_torch":
            crossing += _bytes(op.output.spec)
        elif op.target == "ttnn.to_torch":
            crossing += _bytes(program.values()[op.operands[0]].spec)
    return crossing


def _bytes(spec: TensorSpec | HostSpec) -> int:
    return spec.bytes if isinstance(spec, TensorSpec) else 0


def _lowered_targets(captured: CapturedGraph, program: Program) -> list[str]:
    made = {name for op in program.ops for name in op.source}
    nodes = [node for node in captured.graph.nodes if node.op == "call_function" and node.name in made]
    return sorted({target_name(node) for node in nodes} - {"operator.getitem"})


def blocks(tried: Sequence[Trial], model: str) -> list[Block]:
    """Entries for what would be faster on the host, each with its reason in figures."""
    return [
        Block(
            trial.target,
            f"{trial.program}: projected {1e6 * trial.lowered_s:.0f} us lowered, {1e6 * trial.host_s:.0f} in PyTorch",
            model,
        )
        for trial in tried
        if trial.better_on_host
    ]
