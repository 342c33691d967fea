"""How long a program would take on a chip: the chip's limits, and an estimate with a release's fitted software.

For each TT-NN call there are three times. Compute: the FLOPs that the matrix engine does, padded to whole tiles, at the
rate of the call's math fidelity. DRAM: bytes of operands and results that are in DRAM; what is in L1 is free. Launch: a
constant overhead for each device operation. The floor is the longer of the first two at the chip's peak; the estimate
is the longer of them at measured rates, times a slowdown, plus the overhead. What norms, sums and element-wise calls
compute is not modelled, for no rate of the vector unit is published: they cost bytes and overhead.

No card is involved: every time and rate here is *projected*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod

from ttscribe.compiler.cost import op_cost
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.operations.operation import Family
from ttscribe.compiler.program import Layout, Op, Program, Spec, TensorSpec
from ttscribe.reports.constants import TILE_ROWS, Chip, Software, releases
from ttscribe.reports.schema import CallTimes, Projected

# Prefill gives the first token; each other one is a step that picks it on the card, with timestamps as ``transcribe``
# does, or without, as tt-metal's demo does whose figures are published.
FIRST_TOKEN = ("encode", "cross_kv", "prefill")
NEXT_TOKEN = ("timed_step",)
WITHOUT_TIMESTAMPS = ("greedy_step",)
_MILLI = 1e3


@dataclass(frozen=True, slots=True)
class OperationTime:
    """One TT-NN call. ``flops`` and ``bytes_dram`` are padded to tiles; times are seconds.

    ``compute_s`` and ``dram_s`` are at measured rates; ``excess_s`` is what the slowdown adds to the longer of them.
    """

    index: int
    op: Op
    flops: int
    bytes_dram: int
    device_operations: int
    compute_s: float
    dram_s: float
    excess_s: float
    launch_s: float
    floor_s: float

    @property
    def family(self) -> Family:
        """What kind of work it is."""
        return OPERATIONS[self.op.target].family

    @property
    def device_s(self) -> float:
        """At measured rates, without slowdown or overhead."""
        return max(self.compute_s, self.dram_s)

    @property
    def estimate_s(self) -> float:
        """With the software's slowdown and launch overhead."""
        return self.device_s + self.excess_s + self.launch_s

    @property
    def limit(self) -> str:
        """Which of the chip's two limits it meets: "compute" or "dram"."""
        return "compute" if self.compute_s > self.dram_s else "dram"

    @property
    def bound(self) -> str:
        """The longest of the three: "compute", "dram" or "launch"."""
        return "launch" if self.launch_s > self.device_s + self.excess_s else self.limit


@dataclass(frozen=True, slots=True)
class Range:
    """A projected figure at the chip's limits and as estimated."""

    floor: float
    estimate: float


@dataclass(frozen=True, slots=True)
class Projection:
    """A model's programs on a chip, call by call; ``next_token`` are those that each token after the first takes."""

    chip: Chip
    software: Software
    programs: Mapping[str, tuple[OperationTime, ...]]
    next_token: tuple[str, ...] = NEXT_TOKEN

    @property
    def ttft_s(self) -> Range:
        """Seconds from samples to the first token. The floor has no time of the host."""
        first = self._sum(FIRST_TOKEN)
        return replace(first, estimate=first.estimate + self.software.host_s)

    @property
    def step_s(self) -> Range:
        """Seconds of a decode step."""
        return self._sum(self.next_token)

    @property
    def rate(self) -> Range:
        """Tokens per second and user (t/s/u); the floor of time is the ceiling of the rate."""
        return Range(1 / self.step_s.floor, 1 / self.step_s.estimate)

    def _sum(self, names: Sequence[str]) -> Range:
        # A command queue runs one operation after another: times add up.
        calls = [call for name in names for call in self.programs[name]]
        return Range(sum(call.floor_s for call in calls), sum(call.estimate_s for call in calls))

    def projected(self, name: str) -> Projected:
        """The figures, in the report's units, under the software's name."""
        ttft, rate = self.ttft_s, self.rate
        return Projected(name, ttft.floor * _MILLI, ttft.estimate * _MILLI, rate.floor, rate.estimate)

    def calls(self) -> Iterator[CallTimes]:
        """The sums of each program that counts for a figure, and of each TT-NN operation in it, the longest first."""
        for program in (*FIRST_TOKEN, *self.next_token):
            times = self.programs[program]
            yield total(program, "", times)
            ordered = sorted(times, key=lambda each: each.op.target)
            groups = [
                total(program, target, tuple(group))
                for target, group in groupby(ordered, key=lambda each: each.op.target)
            ]
            yield from sorted(groups, key=lambda each: -each.estimate_s)


def total(program: str, call: str, times: Sequence[OperationTime]) -> CallTimes:
    """A sum over calls."""
    names = sorted({time.bound for time in times})
    return CallTimes(
        program,
        call,
        device_operations=sum(time.device_operations for time in times),
        flops=sum(time.flops for time in times),
        bytes_dram=sum(time.bytes_dram for time in times),
        bound=max(names, key=lambda name: sum(time.estimate_s for time in times if time.bound == name)),
        floor_s=sum(time.floor_s for time in times),
        device_s=sum(time.device_s for time in times),
        estimate_s=sum(time.estimate_s for time in times),
    )


def project(
    programs: Mapping[str, Program], chip: Chip, software: Software, next_token: tuple[str, ...] = NEXT_TOKEN
) -> Projection:
    """Project the programs of a model; ``software`` as fitted to a release, or as supposed."""
    times = {name: tuple(operation_times(program, chip, software)) for name, program in programs.items()}
    return Projection(chip, software, times, next_token)


def project_releases(programs: Mapping[str, Program], chip: Chip) -> dict[str, Projection]:
    """Whisper's programs with the software of each release that something is published of, the latest last.

    Of other programs nothing is projected.
    """
    if not {*FIRST_TOKEN, *NEXT_TOKEN} <= {*programs}:
        return {}
    return {release.name: project(programs, chip, release.software) for release in releases(chip)}


def operation_times(program: Program, chip: Chip, software: Software) -> Iterator[OperationTime]:
    """A time for each call that the device has something to do for, in order."""
    specs = program.specs()
    for index, op in enumerate(program.ops):
        cost = op_cost(op, specs, buffer="dram")
        if cost.device_operations:
            size = cost.bytes_read + cost.bytes_written
            yield _time(index, op, specs, chip, software, (padded_flops(op, specs), size, cost.device_operations))


def _time(
    index: int, op: Op, specs: Mapping[str, Spec], chip: Chip, software: Software, work: tuple[int, int, int]
) -> OperationTime:
    flops, size, launched = work
    peak_s = compute_s = 0.0
    if flops:
        weights, fidelity = specs[op.operands[1]], _fidelity(op)
        assert isinstance(weights, TensorSpec)
        # The weights' element type says which published rate is taken; activations are bfloat16 under every policy.
        peak_s, compute_s = flops / chip.peak(fidelity), flops / chip.measured(weights.dtype, fidelity)
    # L1 is no cache: what a call has in DRAM it reads from there, also where the call before has just read it.
    dram_s = size / chip.dram_measured.value
    return OperationTime(
        index,
        op,
        flops,
        size,
        launched,
        compute_s,
        dram_s,
        excess_s=(software.slowdown - 1) * max(compute_s, dram_s),
        launch_s=launched * software.overhead_s,
        floor_s=max(peak_s, size / chip.dram_peak.value),
    )


def _fidelity(op: Op) -> str:
    kernel = OPERATIONS[op.target].kernel
    assert kernel is not None
    return str(op.attribute(kernel.attribute)["math_fidelity"])


def padded_flops(op: Op, specs: Mapping[str, Spec]) -> int:
    """FLOPs of a call on the matrix engine over whole tiles; of any other call, none."""
    operation, outputs = OPERATIONS[op.target], [value.spec for value in op.outputs]
    if operation.terms is None:
        return 0
    assert isinstance(outputs[0], TensorSpec)
    terms = operation.terms(op, [specs[name] for name in op.inputs], outputs)
    # The engine multiplies whole tiles, also along what is summed; a step's one row costs as much as 32 (tt-metal's
    # tech_reports/GEMM_FLOPS).
    whole = -(-terms // int(TILE_ROWS.value)) * int(TILE_ROWS.value)
    return 2 * operation.products * prod(replace(outputs[0], layout=Layout.TILE).padded_shape) * whole
