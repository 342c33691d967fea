"""Operations that move elements: shapes, pieces, copies, element types, layouts, memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.operation import (
    BLOCK_DTYPES,
    Count,
    Emulate,
    Extent,
    Family,
    InferSpecs,
    Operation,
    Specs,
    broadcast,
    dimension,
    one,
    require,
    reshape_device_operations,
    result,
    same_as_input,
    tile_padded,
)
from ttscribe.compiler.program import DRAM, TILE_SIZE, DType, Layout, Op, TensorSpec

# Untilize, move, tilize: how tensors in tile layout are moved along dimensions that are no whole tiles.
_THROUGH_ROWS = 3


def _reshape(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    shape = _resolved_shape(op, x.shape)
    return (result(op, x, shape),)


def _resolved_shape(op: Op, old: Sequence[int]) -> tuple[int, ...]:
    """The shape that a reshape asks for, its one -1 filled in."""
    asked = op.attribute("shape")
    known = prod(size for size in asked if size != -1)
    shape = tuple(prod(old) // max(known, 1) if size == -1 else size for size in asked)
    require(prod(shape) == prod(old), f"{op.target} cannot make {tuple(old)} into {asked}")
    return shape


def _reshape_device_operations(_op: Op, inputs: Specs, outputs: Specs) -> int:
    return reshape_device_operations(inputs[0], outputs[0].shape)


def _permute(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    order = _permutation(op, len(x.shape))
    return (result(op, x, [x.shape[dim] for dim in order]),)


def _permutation(op: Op, rank: int) -> tuple[int, ...]:
    """The order of dimensions that a permute or a transpose asks for."""
    if op.target == "ttnn.transpose":
        first, second = (dimension(op, op.attribute(name), rank) for name in ("dim1", "dim2"))
        swap = {first: second, second: first}
        return tuple(swap.get(dim, dim) for dim in range(rank))
    order = tuple(dimension(op, dim, rank) for dim in op.attribute("dims"))
    require(sorted(order) == list(range(rank)), f"{op.target} takes each of {rank} dimensions once, not {order}")
    return order


def _permute_device_operations(op: Op, inputs: Specs, _outputs: Specs) -> int:
    shape = inputs[0].shape
    order = _permutation(op, len(shape))
    # Dimensions of one change places for nothing.
    return int(any(dim != at and (shape[dim] > 1 or shape[at] > 1) for at, dim in enumerate(order)))


def _slice_steps(op: Op) -> tuple[int, ...]:
    """The step of each dimension of a slice; one where none is given."""
    steps: tuple[int, ...] | None = op.attribute("slice_step")
    return steps or (1,) * len(op.attribute("slice_start"))


def _slice(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    starts, ends, steps = op.attribute("slice_start"), op.attribute("slice_end"), _slice_steps(op)
    require(len(starts) == len(ends) == len(steps) == len(x.shape), f"{op.target} takes a range for each dimension")
    for start, end, step, size in zip(starts, ends, steps, x.shape, strict=True):
        within = 0 <= start <= end <= size and step > 0
        require(within, f"{op.target} cannot take {start}:{end}:{step} of {size}")
    strided = any(step != 1 for step in steps)
    require(not strided or x.dtype not in BLOCK_DTYPES, f"{op.target} takes no steps through {x.dtype.value}")
    shape = [-(-(end - start) // step) for start, end, step in zip(starts, ends, steps, strict=True)]
    # What goes through rows loses its shared exponents, and TT-NN does not convert it back: a slice of bfloat8_b from
    # row 3 on is bfloat16. So is a join of bfloat8_b rows.
    dtype = x.dtype if _slice_keeps_tiles(op, x) or x.dtype not in BLOCK_DTYPES else DType.BFLOAT16
    return (result(op, x, shape, dtype=dtype),)


def _slice_keeps_tiles(op: Op, x: TensorSpec) -> bool:
    # Only where a slice starts counts: one that ends within a tile leaves the rest as padding.
    whole = len(x.shape) > 1 and all(start % TILE_SIZE == 0 for start in op.attribute("slice_start")[-2:])
    return x.layout is Layout.TILE and whole and all(step == 1 for step in _slice_steps(op))


def _slice_device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    (x,) = inputs
    if x.shape == outputs[0].shape:
        return 0
    return 1 if x.layout is Layout.ROW_MAJOR or _slice_keeps_tiles(op, x) else _THROUGH_ROWS


def _concat(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    first = specs[0]
    dim = dimension(op, op.attribute("dim"), len(first.shape))
    for spec in specs:
        same = (spec.dtype, spec.layout) == (first.dtype, first.layout)
        require(same, f"{op.target} takes tensors of one dtype and one layout")
        fits = _without(spec.shape, dim) == _without(first.shape, dim)
        require(fits, f"{op.target} cannot join {first.shape} and {spec.shape} along dimension {dim}")
    shape = (*first.shape[:dim], sum(spec.shape[dim] for spec in specs), *first.shape[dim + 1 :])
    through = first.dtype in BLOCK_DTYPES and not _concat_keeps_tiles(specs, dim)
    return (result(op, first, shape, memory=DRAM, dtype=DType.BFLOAT16 if through else first.dtype),)


def _without(shape: Sequence[int], dim: int) -> tuple[int, ...]:
    return (*shape[:dim], *shape[dim + 1 :])


def _concat_keeps_tiles(specs: Specs, dim: int) -> bool:
    rank = len(specs[0].shape)
    # Columns that fill no tile are joined in one launch all the same.
    padded_rows = dim == rank - 2 and any(spec.shape[dim] % TILE_SIZE for spec in specs)
    return rank > 1 and not padded_rows


def _concat_device_operations(op: Op, inputs: Specs, _outputs: Specs) -> int:
    if len(inputs) == 1:
        return 0
    tile = inputs[0].layout is Layout.TILE
    dim = dimension(op, op.attribute("dim"), len(inputs[0].shape))
    return len(inputs) + 2 if tile and not _concat_keeps_tiles(inputs, dim) else 1


def _repeat(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    times = op.attribute("shape")
    require(len(times) >= len(x.shape), f"{op.target} takes a count for each of {len(x.shape)} dimensions")
    shape = (1,) * (len(times) - len(x.shape)) + x.shape
    return (result(op, x, [count * size for count, size in zip(times, shape, strict=True)]),)


def _expand(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    shape = _expanded_shape(op, x.shape)
    require(broadcast(op, x.shape, shape) == shape, f"{op.target} cannot expand {x.shape} to {shape}")
    return (result(op, x, shape),)


def _expanded_shape(op: Op, old: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that an expand asks for, -1 standing for the dimension's own size."""
    asked: tuple[int, ...] = op.attribute("shape")
    require(len(asked) >= len(old), f"{op.target} cannot expand {old} to {asked}")
    padded = (1,) * (len(asked) - len(old)) + old
    return tuple(own if size == -1 else size for size, own in zip(asked, padded, strict=True))


def _repeat_device_operations(_op: Op, inputs: Specs, outputs: Specs) -> int:
    """Rows and columns that are no whole tiles are repeated in row-major layout."""
    (x,), shape = inputs, outputs[0].shape
    if prod(x.shape) == prod(shape):
        return 0
    old = (1, 1, *x.shape)[-2:]
    repeated = any(before != after for before, after in zip(old, (1, 1, *shape)[-2:], strict=True))
    whole = all(size % TILE_SIZE == 0 for size in old)
    return _THROUGH_ROWS if x.layout is Layout.TILE and repeated and not whole else 1


def _pad(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    padding = op.attribute("padding")
    require(len(padding) == len(x.shape), f"{op.target} takes padding for each of {len(x.shape)} dimensions")
    front = any(before for before, _ in padding)
    # Behind a tensor there is padding already, or room for more tiles; in front every element would have to move.
    require(x.layout is Layout.ROW_MAJOR or not front, f"{op.target} cannot pad in front in tile layout")
    require(x.layout is Layout.ROW_MAJOR or len(x.shape) > 1, f"{op.target} cannot pad one dimension in tile layout")
    shape = [before + size + after for size, (before, after) in zip(x.shape, padding, strict=True)]
    return (result(op, x, shape),)


def _pad_device_operations(_op: Op, inputs: Specs, outputs: Specs) -> int:
    """The value is written into what padding tiles have already, then more tiles are added."""
    (x,), (padded,) = inputs, outputs
    if x.shape == padded.shape:
        return 0
    if x.layout is Layout.ROW_MAJOR:
        return 1
    fill = tile_padded(x)
    return fill * (3 if x.dtype in BLOCK_DTYPES else 1) + int(x.padded_shape != padded.padded_shape)


def _clone(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    kept = op.attribute("dtype", x.dtype) is x.dtype
    require(kept or x.layout is Layout.TILE, f"{op.target} changes the dtype in tile layout only")
    return same_as_input(op, specs)


def _to_layout(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    """Block formats exist in tiles only: their rows are bfloat16."""
    (x,) = specs
    rows = op.attribute("layout") is Layout.ROW_MAJOR and x.dtype in BLOCK_DTYPES
    return (result(op, x, x.shape, dtype=DType.BFLOAT16 if rows else x.dtype),)


def _if_changed(_op: Op, inputs: Specs, outputs: Specs) -> int:
    return int(inputs[0] != outputs[0])


def _emulate_reshape(call: Call) -> Tensor:
    (x,) = call.data
    return x.reshape(_resolved_shape(call.op, x.shape))


def _emulate_permute(call: Call) -> Tensor:
    (x,) = call.data
    return x.permute(_permutation(call.op, x.dim()))


def _emulate_slice(call: Call) -> Tensor:
    (x,) = call.data
    ranges = zip(call.attribute("slice_start"), call.attribute("slice_end"), _slice_steps(call.op), strict=True)
    return x[tuple(slice(start, end, step) for start, end, step in ranges)]


def _emulate_concat(call: Call) -> Tensor:
    return torch.cat(call.data, call.attribute("dim"))


def _emulate_repeat(call: Call) -> Tensor:
    (x,) = call.data
    return x.repeat(call.attribute("shape"))


def _emulate_expand(call: Call) -> Tensor:
    (x,) = call.data
    return x.expand(_expanded_shape(call.op, tuple(x.shape)))


def _emulate_pad(call: Call) -> Tensor:
    (x,) = call.data
    flat = [size for pair in reversed(call.attribute("padding")) for size in pair]
    return F.pad(x, flat, value=call.attribute("value", 0))


def _emulate_typecast(call: Call) -> Tensor:
    """Floats become integers toward zero."""
    (x,) = call.data
    dtype: DType = call.attribute("dtype")
    return x if dtype.floating else x.trunc()


def _unchanged(call: Call) -> Tensor:
    (x,) = call.data
    return x


def _move(
    name: str,
    infer_specs: InferSpecs,
    positional: tuple[str, ...],
    device_operations: Count,
    emulate: Emulate,
    *,
    attributes: tuple[str, ...] = ("memory_config",),
    extent: Extent = Extent.TENSOR,
    moves_values: bool = True,
) -> Operation:
    return Operation(
        f"ttnn.{name}",
        Family.MOVEMENT,
        infer_specs,
        attributes=attributes,
        positional=positional,
        extent=extent,
        moves_values=moves_values,
        device_operations=device_operations,
        emulate=emulate,
    )


_SLICED = ("slice_start", "slice_end", "slice_step")

_CAST = ("dtype", "memory_config")
_EACH = Extent.ELEMENT

MOVEMENT = (
    _move("reshape", _reshape, ("shape",), _reshape_device_operations, _emulate_reshape),
    _move("permute", _permute, ("dims",), _permute_device_operations, _emulate_permute),
    _move("transpose", _permute, ("dim1", "dim2"), _permute_device_operations, _emulate_permute),
    _move("slice", _slice, _SLICED, _slice_device_operations, _emulate_slice),
    Operation(
        "ttnn.concat",
        Family.MOVEMENT,
        _concat,
        (1, None),
        attributes=("dim", "memory_config"),
        variadic=True,
        moves_values=True,
        device_operations=_concat_device_operations,
        emulate=_emulate_concat,
    ),
    _move("repeat", _repeat, ("shape",), _repeat_device_operations, _emulate_repeat),
    _move("expand", _expand, ("shape",), _repeat_device_operations, _emulate_expand),
    _move("pad", _pad, ("padding", "value"), _pad_device_operations, _emulate_pad, moves_values=False),
    _move("clone", _clone, (), one, _unchanged, attributes=_CAST),
    _move("typecast", same_as_input, ("dtype",), one, _emulate_typecast, extent=_EACH, moves_values=False),
    _move("to_layout", _to_layout, ("layout",), _if_changed, _unchanged, attributes=_CAST, extent=_EACH),
    _move("to_memory_config", same_as_input, ("memory_config",), _if_changed, _unchanged, attributes=("dtype",)),
)
