"""Look-ups by index: rows of a table, elements gathered and scattered."""

from __future__ import annotations

from math import prod

import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.operation import (
    BLOCK_DTYPES,
    Family,
    Operation,
    Specs,
    dimension,
    require,
    require_rank,
    result,
    tile_padded,
)
from ttscribe.compiler.program import DType, Layout, Op, TensorSpec


def _embedding(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    ids, weight = specs
    require(ids.dtype is DType.UINT32, f"{op.target} takes ids of uint32, not {ids.dtype.value}")
    require(weight.dtype in (DType.BFLOAT16, *BLOCK_DTYPES), f"{op.target} does not take {weight.dtype.value} weights")
    require_rank(op, ids, 1, 2)
    # A table in tiles is accepted, and untilized as a whole at every call.
    rows = prod(weight.shape[:-2]) == 1 and len(weight.shape) > 1
    require(rows, f"{op.target} takes a matrix of weights, not {weight.shape}")
    shape = (*ids.shape, weight.shape[-1])
    # The result goes where the ids are, not where the table is.
    return (result(op, ids, shape, dtype=DType.BFLOAT16, layout=Layout.ROW_MAJOR),)


def _embedding_device_operations(_op: Op, inputs: Specs, outputs: Specs) -> int:
    """Untilize the weights, look up, tilize the result unless it is whole tiles, convert it."""
    weight, (output,) = inputs[1], outputs
    # The look-up's own kernel can write whole tiles, but not pad them.
    tilize = output.layout is Layout.TILE and tile_padded(output)
    return 1 + (weight.layout is Layout.TILE) + tilize + (output.dtype is not DType.BFLOAT16)


def _scatter(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x, index, source = specs
    dimension(op, op.attribute("dim"), len(x.shape))
    require(not index.dtype.floating, f"{op.target} takes an index of integers, not {index.dtype.value}")
    require(source.dtype is x.dtype, f"{op.target} takes a source of {x.dtype.value}, not {source.dtype.value}")
    require(index.shape == source.shape, f"{op.target} takes an index and a source of one shape")
    require(len(index.shape) == len(x.shape), f"{op.target} takes an index of rank {len(x.shape)}")
    return (result(op, x, x.shape),)


def _gather(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x, index = specs
    dimension(op, op.attribute("dim"), len(x.shape))
    require(index.dtype is DType.UINT32, f"{op.target} takes an index of uint32, not {index.dtype.value}")
    require(len(index.shape) == len(x.shape) > 1, f"{op.target} takes an index of the tensor's rank, at least two")
    return (result(op, x, index.shape),)


def _along_rows(op: Op, x: TensorSpec) -> bool:
    return dimension(op, op.attribute("dim"), len(x.shape)) == len(x.shape) - 1


def _scatter_device_operations(op: Op, inputs: Specs, _outputs: Specs) -> int:
    """One along rows in row-major layout; each other way, all three tensors are converted, and the result back."""
    (x, *_) = inputs
    conversions = (x.layout is Layout.TILE) + (not _along_rows(op, x))
    return 1 + 4 * conversions


def _gather_device_operations(op: Op, inputs: Specs, _outputs: Specs) -> int:
    """One in row-major layout; in tiles, padding is cleared and cut; other dimensions are transposed there and back."""
    (x, *_) = inputs
    return (1 if x.layout is Layout.ROW_MAJOR else 3) + 3 * (not _along_rows(op, x))


def _emulate_embedding(call: Call) -> Tensor:
    ids, weight = call.data
    return F.embedding(ids, weight.reshape(-1, weight.shape[-1]))


def _emulate_scatter(call: Call) -> Tensor:
    x, index, source = call.data
    return x.scatter(call.attribute("dim"), index, source)


def _emulate_gather(call: Call) -> Tensor:
    x, index = call.data
    return x.gather(call.attribute("dim"), index)


LOOKUP = (
    Operation(
        "ttnn.embedding",
        Family.LOOKUP,
        _embedding,
        (2, 2),
        attributes=("layout", "dtype", "memory_config"),
        moves_values=True,
        device_operations=_embedding_device_operations,
        emulate=_emulate_embedding,
    ),
    Operation(
        "ttnn.scatter",
        Family.LOOKUP,
        _scatter,
        (3, 3),
        attributes=("dim", "memory_config"),
        operand_names=("index", "src"),
        moves_values=True,
        device_operations=_scatter_device_operations,
        emulate=_emulate_scatter,
    ),
    Operation(
        "ttnn.gather",
        Family.LOOKUP,
        _gather,
        (2, 2),
        attributes=("dim", "memory_config"),
        operand_names=("index",),
        moves_values=True,
        device_operations=_gather_device_operations,
        emulate=_emulate_gather,
    ),
)
