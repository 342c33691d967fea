"""Fallback tuning: would an operation that can be lowered be faster in PyTorch, moves and lost traces included?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from torch import Tensor

from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.compilation import Compiled, compile_graph
from ttscribe.compiler.host import target_name
from ttscribe.compiler.operations import MOVES_IN, MOVES_OUT
from ttscribe.compiler.program import Program, TensorSpec
from ttscribe.compiler.settings import CompileSettings
from ttscribe.devices.programs import ProgramDevice
from ttscribe.devices.provenance import Provenance
from ttscribe.errors import CompileError
from ttscribe.reports.constants import HOST_LINK, RELEASES, Chip
from ttscribe.reports.kernel_times import kernel_times, total

_RUNS = 5
_UNTRACED, _TRACED, *_ = RELEASES
ALONE = (1 / _UNTRACED.rate - 1 / _TRACED.rate) / 98
"""Seconds more that an operation takes which the host launches by itself: what a trace saved tt-metal's Whisper of a
token on an n150, over the 98 operations of its step."""


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
    provenance: Provenance

    @property
    def better_on_host(self) -> bool:
        """Whether the program runs sooner with the operation in PyTorch."""
        return self.host_s < self.lowered_s


@dataclass(frozen=True)
class Clock:
    """Tells the seconds of one run of a compiled program, and how it knows."""

    seconds: Callable[[Compiled], float]
    provenance: Provenance


def projected(chip: Chip, alone: float = ALONE) -> Clock:
    """By what kernels add up to, the middle of it, and moves at the link's rate.

    ``alone`` is what each operation takes more where a host segment costs a program its trace.
    """

    def seconds(compiled: Compiled) -> float:
        program = compiled.program
        times = kernel_times(program, chip)
        device = sum(total(times, [program.name])) / 2
        # A host segment anywhere in a program costs all of it its trace.
        launches = times[-1].device_operations * alone if program.host_segments else 0.0
        return device + launches + moved(program) / HOST_LINK.value

    return Clock(seconds, Provenance.PROJECTED)


def measured(device: ProgramDevice) -> Clock:
    """By the median of a few runs on a device, on inputs of zeros, after one that compiles its kernels."""

    def seconds(compiled: Compiled) -> float:
        return run_seconds(
            device, compiled.program, {name: data for name, data in compiled.params.items() if data is not None}
        )

    return Clock(seconds, Provenance.MEASURED)


def run_seconds(device: ProgramDevice, program: Program, params: Mapping[str, Tensor]) -> float:
    """The median of a few runs of a program on zeros, after one that compiles its kernels."""
    loaded = device.load(program, params)
    specs = [value.spec for value in program.inputs]
    with device.repeated(loaded, [device.zeros(spec) for spec in specs if isinstance(spec, TensorSpec)]) as again:
        again()
        return median(_timed(again) for _ in range(_RUNS))


def _timed(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def trials(compiled: Sequence[Compiled], settings: CompileSettings, clock: Clock) -> Iterator[Trial]:
    """Every operation that is lowered, each of one kind in a program together, tried on the host."""
    for base in compiled:
        lowered_s = clock.seconds(base)
        for target in _lowered_targets(base):
            block = Block(target, "tried on the host")
            blocked = replace(settings, strict=False, blocklist=Blocklist((*settings.blocklist.blocks, block)))
            try:
                tried = compile_graph(base.captured, blocked)
            except CompileError:  # what it gives another operation cannot come from the host
                continue
            if tried.program.host_segments:
                host_s, bytes_moved = clock.seconds(tried), moved(tried.program)
                yield Trial(base.program.name, target, lowered_s, host_s, bytes_moved, clock.provenance)


def moved(program: Program) -> int:
    """Bytes that cross between host and device in a run, besides inputs and outputs that are on the device."""
    specs = program.specs()
    crossing = [
        specs[op.output.name if op.target == MOVES_IN else op.operands[0]]
        for op in program.ops
        if op.target in (MOVES_IN, MOVES_OUT)
    ]
    return sum(spec.bytes for spec in crossing if isinstance(spec, TensorSpec))


def _lowered_targets(compiled: Compiled) -> list[str]:
    sources = {name for op in compiled.program.ops for name in op.source}
    nodes = [node for node in compiled.captured.graph.nodes if node.op == "call_function" and node.name in sources]
    return sorted({target_name(node) for node in nodes} - {"operator.getitem"})


def blocks(tried: Sequence[Trial], model: str) -> list[Block]:
    """Entries for what would be faster on the host, each with its reason in figures."""
    return [
        Block(
            trial.target,
            f"{trial.program}: {trial.provenance.value} {1e6 * trial.lowered_s:.0f} us lowered, "
            f"{1e6 * trial.host_s:.0f} in PyTorch",
            model,
        )
        for trial in tried
        if trial.better_on_host
    ]
