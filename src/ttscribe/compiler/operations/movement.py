"""Operations that move elements: shapes, pieces, copies, layouts, memory, and look-ups by index."""

from collections.abc import Sequence
from math import prod

from ttscribe.compiler.operations.operation import (
    BLOCK_DTYPES,
    Operation,
    Specs,
    broadcast,
    dimension,
    require,
    require_rank,
    reshape_device_operations,
    result,
    tile_padded,
)
from ttscribe.compiler.program import DRAM, TILE_SIZE, DType, Layout, Op, TensorSpec

# Untilize, move, tilize: how tensors in tile layout are moved along dimensions that are no whole tiles.
_THROUGH_ROWS = 3


def _reshape(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    shape = resolved_shape(op, x.shape)
    return (result(op, x, shape),)


def resolved_shape(op: Op, old: Sequence[int]) -> tuple[int, ...]:
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
    order = permutation(op, len(x.shape))
    return (result(op, x, [x.shape[dim] for dim in order]),)


def permutation(op: Op, rank: int) -> tuple[int, ...]:
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
    order = permutation(op, len(shape))
    return int(any(dim != at and (shape[dim] > 1 or shape[at] > 1) for at, dim in enumerate(order)))


def slice_steps(op: Op) -> tuple[int, ...]:
    """The step of each dimension of a slice; one where none is given."""
    steps: tuple[int, ...] | None = op.attribute("slice_step")
    return steps or (1,) * len(op.attribute("slice_start"))


def _slice(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    starts, ends, steps = op.attribute("slice_start"), op.attribute("slice_end"), slice_steps(op)
    require(len(starts) == len(ends) == len(steps) == len(x.shape), f"{op.target} takes a range for each dimension")
    for start, end, step, size in zip(starts, ends, steps, x.shape, strict=True):
        within = 0 <= start <= end <= size and step > 0
        require(within, f"{op.target} cannot take {start}:{end}:{step} of {size}")
    strided = any(step != 1 for step in steps)
    require(not strided or x.dtype not in BLOCK_DTYPES, f"{op.target} takes no steps through {x.dtype.value}")
    shape = [-(-(end - start) // step) for start, end, step in zip(starts, ends, steps, strict=True)]
    dtype = x.dtype if _slice_keeps_tiles(op, x) or x.dtype not in BLOCK_DTYPES else DType.BFLOAT16
    return (result(op, x, shape, dtype=dtype),)


def _slice_keeps_tiles(op: Op, x: TensorSpec) -> bool:
    whole = len(x.shape) > 1 and all(start % TILE_SIZE == 0 for start in op.attribute("slice_start")[-2:])
    return x.layout is Layout.TILE and whole and all(step == 1 for step in slice_steps(op))


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
    shape = expanded_shape(op, x.shape)
    require(broadcast(op, x.shape, shape) == shape, f"{op.target} cannot expand {x.shape} to {shape}")
    return (result(op, x, shape),)


def expanded_shape(op: Op, old: tuple[int, ...]) -> tuple[int, ...]:
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


def _copy_of(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    return (result(op, x, x.shape),)


def _clone(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    kept = op.attribute("dtype", x.dtype) is x.dtype
    require(kept or x.layout is Layout.TILE, f"{op.target} changes the dtype in tile layout only")
    return (result(op, x, x.shape),)


def _to_layout(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    """Block formats exist in tiles only: their rows are bfloat16."""
    (x,) = specs
    rows = op.attribute("layout") is Layout.ROW_MAJOR and x.dtype in BLOCK_DTYPES
    return (result(op, x, x.shape, dtype=DType.BFLOAT16 if rows else x.dtype),)


def _if_changed(_op: Op, inputs: Specs, outputs: Specs) -> int:
    return int(inputs[0] != outputs[0])


def _embedding(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    ids, weight = specs
    require(ids.dtype is DType.UINT32, f"{op.target} takes ids of uint32, not {ids.dtype.value}")
    require(weight.dtype in (DType.BFLOAT16, *BLOCK_DTYPES), f"{op.target} does not take {weight.dtype.value} weights")
    require_rank(op, ids, 1, 2)
    rows = prod(weight.shape[:-2]) == 1 and len(weight.shape) > 1
    require(rows, f"{op.target} takes a matrix of weights, not {weight.shape}")
    shape = (*ids.shape, weight.shape[-1])
    return (result(op, ids, shape, dtype=DType.BFLOAT16, layout=Layout.ROW_MAJOR),)


def _embedding_device_operations(_op: Op, inputs: Specs, outputs: Specs) -> int:
    """Untilize the weights, look up, tilize the result unless it is whole tiles, convert it."""
    weight, (output,) = inputs[1], outputs
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


_MEMORY = ("memory_config",)


MOVEMENT = (
    Operation(
        "ttnn.reshape",
        _reshape,
        attributes=_MEMORY,
        positional=("shape",),
        device_operations=_reshape_device_operations,
    ),
    Operation(
        "ttnn.permute",
        _permute,
        attributes=_MEMORY,
        positional=("dims",),
        device_operations=_permute_device_operations,
    ),
    Operation(
        "ttnn.transpose",
        _permute,
        attributes=_MEMORY,
        positional=("dim1", "dim2"),
        device_operations=_permute_device_operations,
    ),
    Operation(
        "ttnn.slice",
        _slice,
        attributes=_MEMORY,
        positional=("slice_start", "slice_end", "slice_step"),
        device_operations=_slice_device_operations,
    ),
    Operation(
        "ttnn.concat",
        _concat,
        (1, None),
        attributes=("dim", "memory_config"),
        device_operations=_concat_device_operations,
        variadic=True,
    ),
    Operation(
        "ttnn.repeat",
        _repeat,
        attributes=_MEMORY,
        positional=("shape",),
        device_operations=_repeat_device_operations,
    ),
    Operation(
        "ttnn.expand",
        _expand,
        attributes=_MEMORY,
        positional=("shape",),
        device_operations=_repeat_device_operations,
    ),
    Operation(
        "ttnn.pad",
        _pad,
        attributes=_MEMORY,
        positional=("padding", "value"),
        device_operations=_pad_device_operations,
    ),
    Operation("ttnn.clone", _clone, attributes=("dtype", "memory_config")),
    Operation("ttnn.typecast", _copy_of, attributes=_MEMORY, positional=("dtype",)),
    Operation(
        "ttnn.to_layout",
        _to_layout,
        attributes=("dtype", "memory_config"),
        positional=("layout",),
        device_operations=_if_changed,
    ),
    Operation(
        "ttnn.to_memory_config",
        _copy_of,
        attributes=("dtype",),
        positional=("memory_config",),
        device_operations=_if_changed,
    ),
    Operation(
        "ttnn.embedding",
        _embedding,
        (2, 2),
        attributes=("layout", "dtype", "memory_config"),
        device_operations=_embedding_device_operations,
    ),
    Operation(
        "ttnn.scatter",
        _scatter,
        (3, 3),
        attributes=("dim", "memory_config"),
        operand_names=("index", "src"),
        device_operations=_scatter_device_operations,
    ),
    Operation(
        "ttnn.gather",
        _gather,
        (2, 2),
        attributes=("dim", "memory_config"),
        operand_names=("index",),
        device_operations=_gather_device_operations,
    ),
)
