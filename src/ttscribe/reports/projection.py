"""How long a program would take on a board: the board's limits, and an estimate with calibrated software.

For each TT-NN call there are three times. Compute: the FLOPs of products, attention and convolutions, padded to whole
tiles, at the rate of the call's math fidelity. DRAM: bytes of operands and results that are in DRAM; what is in L1 is
free. Launch: a constant overhead for each device operation. The floor is the longer of the first two at the board's
peak; the estimate is the longer of them at measured rates, times a slowdown, plus the overhead. What norms, sums and
element-wise calls compute is not modelled, for no rate of the vector unit is published: they cost bytes and overhead.

No card is involved: every time and rate here is *projected*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from math import prod
from typing import Any, ClassVar

from ttscribe.compiler.cost import op_cost
from ttscribe.compiler.program import Layout, Op, Program, Spec, TensorSpec
from ttscribe.reports.hardware import TILE_ROWS, Board

STATUS = "projected"
FIRST_TOKEN = ("encode", "cross_kv", "prefill")
NEXT_TOKEN = ("greedy_step",)

_PRODUCTS = ("ttnn.linear", "ttnn.matmul")
_ATTENTION = (
    "ttnn.transformer.scaled_dot_product_attention",
    "ttnn.transformer.scaled_dot_product_attention_decode",
)
_CONVOLUTIONS = ("ttnn.conv1d",)


@dataclass(frozen=True, slots=True)
class Software:
    """What a projection assumes besides the board.

    ``overhead_s`` is seconds for each device operation; ``slowdown`` how many times as long products and transfers take
    as a large product or the DRAM benchmark would; ``host_s`` seconds of the host before the first token.
    """

    overhead_s: float = 0.0
    slowdown: float = 1.0
    host_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OperationTime:
    """One TT-NN call. ``flops`` and ``bytes_dram`` are padded to tiles; times are seconds.

    ``compute_s`` and ``dram_s`` are at measured rates; ``excess_s`` is what the slowdown adds to the longer of them.
    """

    status: ClassVar[str] = STATUS

    index: int
    target: str
    source: tuple[str, ...]
    flops: int
    bytes_dram: int
    device_operations: int
    compute_s: float
    dram_s: float
    excess_s: float
    launch_s: float
    floor_s: float

    @property
    def device_s(self) -> float:
        """At measured rates, without slowdown or overhead."""
        return max(self.compute_s, self.dram_s)

    @property
    def estimate_s(self) -> float:
        return self.device_s + self.excess_s + self.launch_s

    @property
    def limit(self) -> str:
        """Which of the board's two limits it meets: "compute" or "dram"."""
        return "compute" if self.compute_s > self.dram_s else "dram"

    @property
    def bound(self) -> str:
        """The longest of the three: "compute", "dram" or "launch"."""
        return "launch" if self.launch_s > self.device_s + self.excess_s else self.limit


@dataclass(frozen=True, slots=True)
class Total:
    """A sum over calls; ``bound`` is that of the calls that take most of the time."""

    status: ClassVar[str] = STATUS

    operations: tuple[OperationTime, ...]

    @property
    def flops(self) -> int:
        return sum(each.flops for each in self.operations)

    @property
    def bytes_dram(self) -> int:
        return sum(each.bytes_dram for each in self.operations)

    @property
    def device_operations(self) -> int:
        return sum(each.device_operations for each in self.operations)

    @property
    def device_s(self) -> float:
        return sum(each.device_s for each in self.operations)

    @property
    def floor_s(self) -> float:
        return sum(each.floor_s for each in self.operations)

    @property
    def estimate_s(self) -> float:
        return sum(each.estimate_s for each in self.operations)

    @property
    def bound(self) -> str:
        names = sorted({each.bound for each in self.operations})
        return max(names, key=lambda name: sum(each.estimate_s for each in self.operations if each.bound == name))

    def by_kind(self) -> dict[str, Total]:
        """The sums by TT-NN name, the longest first."""
        ordered = sorted(self.operations, key=lambda each: each.target)
        kinds = {kind: Total(tuple(group)) for kind, group in groupby(ordered, key=lambda each: each.target)}
        return dict(sorted(kinds.items(), key=lambda item: -item[1].estimate_s))


@dataclass(frozen=True, slots=True)
class Range:
    """A projected figure at the board's limits and as estimated."""

    status: ClassVar[str] = STATUS

    floor: float
    estimate: float


@dataclass(frozen=True, slots=True)
class Projection:
    """A model's programs on a board."""

    status: ClassVar[str] = STATUS

    board: Board
    software: Software
    programs: Mapping[str, Total]

    @property
    def ttft_s(self) -> Range:
        """Seconds from samples to the first token. The floor has no time of the host."""
        total = self.total(FIRST_TOKEN)
        return Range(total.floor_s, total.estimate_s + self.software.host_s)

    @property
    def step_s(self) -> Range:
        """Seconds of a decode step."""
        total = self.total(NEXT_TOKEN)
        return Range(total.floor_s, total.estimate_s)

    @property
    def rate(self) -> Range:
        """Tokens per second and user (t/s/u); the floor of time is the ceiling of the rate."""
        return Range(1 / self.step_s.floor, 1 / self.step_s.estimate)

    def total(self, names: Sequence[str]) -> Total:
        return Total(tuple(each for name in names for each in self.programs[name].operations))


def project(programs: Mapping[str, Program], board: Board, software: Software) -> Projection:
    """Project the programs of a model; ``software`` as ``calibration.calibrate`` fits it, or as supposed."""
    times = {name: Total(tuple(operation_times(program, board, software))) for name, program in programs.items()}
    return Projection(board, software, times)


def operation_times(program: Program, board: Board, software: Software) -> Iterator[OperationTime]:
    """A time for each call that the device has something to do for, in order."""
    specs: dict[str, Spec] = {name: value.spec for name, value in program.values().items()}
    for index, op in enumerate(program.ops):
        launched = op_cost(op, specs).device_operations
        if launched:
            yield _operation_time(index, op, specs, board, software, launched)


def _operation_time(
    index: int, op: Op, specs: Mapping[str, Spec], board: Board, software: Software, launched: int
) -> OperationTime:
    flops, size = padded_flops(op, specs), bytes_dram(op, specs)
    peak_s = measured_s = 0.0
    if flops:
        fidelity = _fidelity(op)
        peak_s = flops / board.peak(fidelity)
        measured_s = flops / board.measured(_tensor(specs, op.operands[1]).dtype, fidelity)
    dram_s = size / board.dram_measured.value
    return OperationTime(
        index=index,
        target=op.target,
        source=op.source,
        flops=flops,
        bytes_dram=size,
        device_operations=launched,
        compute_s=measured_s,
        dram_s=dram_s,
        excess_s=(software.slowdown - 1) * max(measured_s, dram_s),
        launch_s=launched * software.overhead_s,
        floor_s=max(peak_s, size / board.dram_peak.value),
    )


def _fidelity(op: Op) -> str:
    config = op.attribute("compute_kernel_config") or op.attribute("compute_config")
    return str(config["math_fidelity"])


def _tensor(specs: Mapping[str, Spec], name: str) -> TensorSpec:
    spec = specs[name]
    assert isinstance(spec, TensorSpec)
    return spec


def padded_flops(op: Op, specs: Mapping[str, Spec]) -> int:
    """FLOPs of a product, attention or convolution over whole tiles; of any other call, none."""
    inner = _inner(op, specs)
    if inner is None:
        return 0
    output = _tensor({value.name: value.spec for value in op.outputs}, op.outputs[0].name)
    products = 2 if op.target in _ATTENTION else 1
    return 2 * products * prod(replace(output, layout=Layout.TILE).padded_shape) * _whole_tiles(inner)


def _inner(op: Op, specs: Mapping[str, Spec]) -> int | None:
    """How many terms each element of the result sums; for attention the keys, as its result has the head's width."""
    if op.target in _PRODUCTS:
        return _tensor(specs, op.operands[0]).shape[-2 if op.attribute("transpose_a", False) else -1]
    if op.target in _ATTENTION:
        return _tensor(specs, op.operands[1]).shape[2]
    if op.target in _CONVOLUTIONS:
        return prod(_tensor(specs, op.operands[1]).shape[1:])
    return None


def _whole_tiles(size: int) -> int:
    tile = int(TILE_ROWS.value)
    return -(-size // tile) * tile


class _OnChip(TensorSpec):
    """A tensor that takes no bytes of DRAM."""

    @property
    def bytes(self) -> int:
        return 0


def bytes_dram(op: Op, specs: Mapping[str, Spec]) -> int:
    """Bytes that a call reads and writes in DRAM, tile padding included; a cache written from L1 counts none."""
    outputs = tuple(replace(value, spec=_in_dram(value.spec)) for value in op.outputs)
    cost = op_cost(replace(op, outputs=outputs), {name: _in_dram(specs[name]) for name in op.inputs()})
    return cost.bytes_read + cost.bytes_written


def _in_dram(spec: Spec) -> Spec:
    if not isinstance(spec, TensorSpec) or spec.memory.buffer == "dram":
        return spec
    given: dict[str, Any] = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return _OnChip(**given)
