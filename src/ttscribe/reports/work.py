"""What a program's TT-NN calls have to do, and the least time that a chip could do it in.

For each call: FLOPs of the matrix engine, padded to whole tiles; bytes of operands and results that are in DRAM, for
what is in L1 costs nothing; and device operations. The floor is the longer of the first two at the chip's peak rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from ttscribe.compiler.cost import op_cost
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import Layout, Op, Program, Spec, TensorSpec
from ttscribe.reports.constants import TILE_ROWS, Chip

# Prefill gives the first token; each other one is a step that picks it on the card, with timestamps as ``transcribe``
# does, or without, as tt-metal's demo does whose figures are published.
FIRST_TOKEN = ("encode", "cross_kv", "prefill")
NEXT_TOKEN = ("timed_step",)
WITHOUT_TIMESTAMPS = ("greedy_step",)


@dataclass(frozen=True, slots=True)
class Work:
    """What one TT-NN call does; ``floor_s`` are the seconds that it takes at the chip's peak rates."""

    op: Op
    flops: int
    bytes_dram: int
    device_operations: int
    floor_s: float


def work_of(program: Program, chip: Chip) -> Iterator[Work]:
    """That of each call that the device has something to do for, in order."""
    specs = program.specs()
    for op in program.ops:
        cost = op_cost(op, specs, buffer="dram")
        if cost.device_operations:
            # L1 is no cache: what a call has in DRAM it reads from there, also where the call before has just read it.
            size, flops = cost.bytes_read + cost.bytes_written, padded_flops(op, specs)
            compute_s = flops / chip.peak(fidelity(op)) if flops else 0.0
            yield Work(op, flops, size, cost.device_operations, max(compute_s, size / chip.dram_peak.value))


def fidelity(op: Op) -> str:
    """The math fidelity of a call on the matrix engine."""
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
