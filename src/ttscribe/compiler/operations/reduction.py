"""Reductions, and the running sum."""

from dataclasses import replace

from ttscribe.compiler.operations.operation import (
    Operation,
    Specs,
    dimension,
    per_input_element,
    require,
    require_tile,
    reshape_device_operations,
    result,
    tile_padded,
)
from ttscribe.compiler.program import DType, Layout, Op, TensorSpec

_EXTREMES = ("ttnn.max", "ttnn.min")


def reduced_dims(op: Op, rank: int) -> tuple[int, ...]:
    """The dimensions that the call reduces, counted from the front; all, when it names none."""
    dim = op.attribute("dim")
    if dim is None:
        return tuple(range(rank))
    dims = dim if isinstance(dim, tuple) else (dim,)
    return tuple(sorted(dimension(op, each, rank) for each in dims))


def _reduced_shape(op: Op, shape: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    dims = reduced_dims(op, len(shape))
    if keepdim:
        return tuple(1 if dim in dims else size for dim, size in enumerate(shape))
    return tuple(size for dim, size in enumerate(shape) if dim not in dims)


def _reduce(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require(x.dtype.floating or op.target != "ttnn.mean", f"{op.target} does not take {x.dtype.value}")
    layout = Layout.TILE if op.target in _EXTREMES else x.layout
    return (result(op, x, _reduced_shape(op, x.shape, op.attribute("keepdim", False)), layout=layout),)


def _reduce_device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    """Clear the padding, reduce each dimension, and move what is left into the shape that was asked for.

    Extremes are found in tiles, along rows and columns only; sums over leading dimensions have their padding cut.
    """
    x = inputs[0]
    dims = reduced_dims(op, len(x.shape))
    leading = any(dim < len(x.shape) - 2 for dim in dims)
    padded = tile_padded(x)
    if op.target in _EXTREMES:
        prepared, around = padded or x.layout is Layout.ROW_MAJOR, 2 * leading
    else:
        prepared, around = padded, leading and padded
    kept = replace(x, shape=_reduced_shape(op, x.shape, keepdim=True), layout=outputs[0].layout)
    return prepared + len(dims) + around + reshape_device_operations(kept, outputs[0].shape)


def _argmax(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    if x.layout is Layout.TILE:
        require(op.attribute("dim") is not None, f"{op.target} of a tensor in tile layout takes a dimension")
        searchable = x.dtype in (DType.BFLOAT16, DType.FLOAT32)
        require(searchable, f"{op.target} takes bfloat16 or float32 in tile layout, not {x.dtype.value}")
    shape = _reduced_shape(op, x.shape, op.attribute("keepdim", False))
    return (result(op, x, shape, dtype=DType.UINT32, layout=Layout.ROW_MAJOR),)


def _argmax_device_operations(op: Op, inputs: Specs, _outputs: Specs) -> int:
    """One; in another layout than that dimension wants, one more."""
    x = inputs[0]
    from_end = len(x.shape) - max(reduced_dims(op, len(x.shape)), default=0)
    preferred = {1: (Layout.TILE, Layout.ROW_MAJOR), 2: (Layout.TILE,)}.get(from_end, ())
    return 1 if op.attribute("dim") is None or x.layout in preferred else 2


def _cumsum(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    dimension(op, op.attribute("dim"), len(x.shape))
    return (result(op, x, x.shape),)


def _cumsum_device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    """The sum itself runs over rows or columns of bfloat16; other tensors are permuted there and back."""
    x = inputs[0]
    dtype = outputs[0].dtype
    in_place = dtype is DType.BFLOAT16 and dimension(op, op.attribute("dim"), len(x.shape)) >= len(x.shape) - 2
    return (1 if in_place else 3) + (dtype is not x.dtype)


REDUCTION = (
    *(
        Operation(
            f"ttnn.{name}",
            _reduce,
            attributes=("dim", "keepdim", "memory_config", "compute_kernel_config"),
            flops=per_input_element,
            device_operations=_reduce_device_operations,
        )
        for name in ("sum", "mean", "max", "min")
    ),
    Operation(
        "ttnn.argmax",
        _argmax,
        attributes=("dim", "keepdim", "memory_config"),
        flops=per_input_element,
        device_operations=_argmax_device_operations,
        into="output_tensor",
    ),
    Operation(
        "ttnn.cumsum",
        _cumsum,
        attributes=("dim", "dtype"),
        flops=per_input_element,
        device_operations=_cumsum_device_operations,
    ),
)
