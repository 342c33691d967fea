"""What a program's operations cost: arithmetic, bytes moved, device operations launched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from math import prod

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import HostSpec, Op, Program, Spec, TensorSpec

_MOVES_IN, _MOVES_OUT, _LOOKS_UP = "ttnn.from_torch", "ttnn.to_torch", "ttnn.embedding"


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs (a multiply-add is two), bytes at the tensors' dtypes with tile padding, and device operations."""

    flops: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    device_operations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


def op_cost(op: Op, specs: Mapping[str, Spec]) -> Cost:
    """The cost of one TT-NN call; ``specs`` has that of every value by name.

    A call that launches nothing moves nothing, but for moves between host and device. An in-place call writes as many
    bytes as it is given besides what it writes to; a look-up reads the rows that it gives.
    """
    operation = OPERATIONS[op.target]
    inputs = [specs[name] for name in op.inputs()]
    outputs = [value.spec for value in op.outputs]
    launched = operation.device_operations(op, inputs, outputs)
    if not launched and op.target not in (_MOVES_IN, _MOVES_OUT):
        return Cost()
    flops = operation.flops(op, inputs, outputs)
    return Cost(flops, _bytes_read(op, inputs), _bytes_written(op, inputs, outputs), launched)


def _bytes_read(op: Op, inputs: list[Spec]) -> int:
    mutated = OPERATIONS[op.target].mutates
    if op.target == _LOOKS_UP and isinstance(inputs[0], TensorSpec) and isinstance(inputs[1], TensorSpec):
        row = inputs[1].shape[-1] * inputs[1].dtype.bytes
        return _device_bytes(inputs[0]) + round(prod(inputs[0].shape) * row)
    kept = [spec for index, spec in enumerate(inputs) if index not in mutated]
    return sum(map(_device_bytes, kept or inputs))


def _bytes_written(op: Op, inputs: list[Spec], outputs: list[Spec]) -> int:
    mutated = OPERATIONS[op.target].mutates
    if mutated:
        given = [spec for index, spec in enumerate(inputs[: len(op.operands)]) if index not in mutated]
        return sum(map(_device_bytes, given or inputs))
    return sum(map(_device_bytes, outputs))


def _device_bytes(spec: Spec) -> int:
    return 0 if isinstance(spec, HostSpec) else spec.bytes


def program_cost(program: Program) -> Cost:
    """The cost of running ``program`` once, host segments not counted."""
    specs = {name: value.spec for name, value in program.values().items()}
    return sum((op_cost(op, specs) for op in program.ops), Cost())
