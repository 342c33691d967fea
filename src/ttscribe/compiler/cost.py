"""What a program's operations cost: arithmetic, bytes moved, device operations launched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from math import prod

from ttscribe.compiler.operations import MOVES_IN, MOVES_OUT, OPERATIONS
from ttscribe.compiler.program import Op, Program, Spec, TensorSpec


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs (a multiply-add is two), bytes at the tensors' dtypes with tile padding, and device operations."""

    flops: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    device_operations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def op_cost(op: Op, specs: Mapping[str, Spec], buffer: str | None = None) -> Cost:
    """The cost of one TT-NN call; ``specs`` has that of every value by name.

    A call that launches nothing moves nothing, but for moves between host and device. An in-place call writes as many
    bytes as it is given besides what it writes to, or all of the tensor that it is given for its result; a look-up
    reads the rows that it gives. With ``buffer``, "dram" or "l1", only bytes there are counted.
    """
    operation = OPERATIONS[op.target]
    inputs = [specs[name] for name in op.inputs]
    outputs = [value.spec for value in op.outputs]
    launched = operation.device_operations(op, inputs, outputs)
    if not launched and op.target not in (MOVES_IN, MOVES_OUT):
        return Cost()

    # Padding is moved with the tensor: the one row of a decode step is 32 rows in tiles.
    def size(spec: Spec) -> int:
        return spec.bytes if isinstance(spec, TensorSpec) and buffer in (None, spec.memory.buffer) else 0

    flops = operation.flop_count(op, inputs, outputs)
    return Cost(flops, _bytes_read(op, specs, size), _bytes_written(op, specs, size), launched)


def _bytes_read(op: Op, specs: Mapping[str, Spec], size: Callable[[Spec], int]) -> int:
    # The table is in DRAM by rows, and the kernel fetches those that the ids name: 2.5 KB of distil-large-v3's 133 MB.
    if op.target == "ttnn.embedding":
        ids, table = (specs[name] for name in op.operands)
        if isinstance(ids, TensorSpec) and isinstance(table, TensorSpec) and size(table):
            return size(ids) + round(prod(ids.shape) * table.shape[-1] * table.dtype.bytes)
    written = OPERATIONS[op.target].written(op)
    kept = [name for name in op.inputs if name not in written]
    return sum(size(specs[name]) for name in kept or op.inputs)


def _bytes_written(op: Op, specs: Mapping[str, Spec], size: Callable[[Spec], int]) -> int:
    operation = OPERATIONS[op.target]
    if operation.into is not None and (into := op.keyword(operation.into)) is not None:
        return size(specs[into])
    if written := operation.written(op):
        sources = [name for name in op.operands if name not in written]
        return sum(size(specs[name]) for name in sources or op.operands)
    return sum(size(value.spec) for value in op.outputs)


def program_cost(program: Program) -> Cost:
    """The cost of running ``program`` once, host segments not counted."""
    specs = program.specs()
    return sum((op_cost(op, specs) for op in program.ops), Cost())
