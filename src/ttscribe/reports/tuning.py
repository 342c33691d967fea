"""Fallback tuning: would an operation that can be lowered be faster in PyTorch, moves and lost traces included?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.compilation import Compiled, Settings, compile_graph
from ttscribe.compiler.lowering.registry import target_name
from ttscribe.compiler.program import HostSpec, Program, TensorSpec
from ttscribe.devices.programs import ProgramDevice
from ttscribe.errors import CompileError
from ttscribe.reports.hardware import HOST_LINK, Board
from ttscribe.reports.model import Word
from ttscribe.reports.projection import Software, project

_RUNS = 5


@dataclass(frozen=True, slots=True)
class Softwares:
    """What launches cost in a program that can be recorded as a trace, and in one that cannot."""

    traced: Software
    untraced: Software


@dataclass(frozen=True, slots=True)
class Trial:
    """One operation of one program, lowered or in PyTorch: seconds of a run of the program, *projected* or *measured*.

    ``host_s`` has what PyTorch causes: the operations of the program launched one by one, for no trace holds a host
    segment, and ``moved`` bytes across the link. A projection takes PyTorch's own time as nothing, in its favour.
    """

    program: str
    target: str
    lowered_s: float
    host_s: float
    moved: int
    word: Word

    @property
    def better_on_host(self) -> bool:
        return self.host_s < self.lowered_s


@dataclass(frozen=True)
class Clock:
    """Tells the seconds of one run of a compiled program; ``word`` is how it knows."""

    seconds: Callable[[Compiled], float]
    word: Word


def projected(board: Board, softwares: Softwares) -> Clock:
    """By the cost model."""
    return Clock(lambda compiled: seconds(compiled.program, board, softwares), Word.PROJECTED)


def measured(device: ProgramDevice) -> Clock:
    """By the median of a few runs on a device, on inputs of zeros, after one that compiles its kernels."""

    def run(compiled: Compiled) -> float:
        params = {name: tensor for name, tensor in compiled.params.items() if tensor is not None}
        loaded = device.load(compiled.program, params)
        specs = [value.spec for value in compiled.program.inputs]
        with device.repeated(loaded, [device.zeros(spec) for spec in specs if isinstance(spec, TensorSpec)]) as again:
            again()
            return median(_timed(again) for _ in range(_RUNS))

    return Clock(run, Word.MEASURED)


def _timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def trials(graphs: Sequence[CapturedGraph], settings: Settings, clock: Clock) -> Iterator[Trial]:
    """Every operation that is lowered, each of one kind in a program together, tried on the host."""
    for captured in graphs:
        base = compile_graph(captured, settings)
        lowered_s = clock.seconds(base)
        for target in _lowered_targets(captured, base.program):
            block = Block(target, "tried on the host")
            blocked = replace(settings, strict=False, blocklist=Blocklist((*settings.blocklist.blocks, block)))
            try:
                tried = compile_graph(captured, blocked)
            except CompileError:  # what it gives another operation cannot come from the host
                continue
            if tried.program.host_segments:
                host_s = clock.seconds(tried)
                yield Trial(captured.name, target, lowered_s, host_s, moved(tried.program), clock.word)


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
            f"{trial.program}: {trial.word.value} {1e6 * trial.lowered_s:.0f} us lowered, {1e6 * trial.host_s:.0f} in "
            "PyTorch",
            model,
        )
        for trial in tried
        if trial.better_on_host
    ]
