"""Reductions, and the running sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ttscribe.compiler.operations import kernels
from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.operation import (
    BEST_FIDELITY,
    Family,
    Kernel,
    Operation,
    Specs,
    dimension,
    per_input_element,
    require,
    require_tile,
    reshape_device_operations,
    result,
    same_as_input,
    tile_padded,
)
from ttscribe.compiler.program import DType, Layout, Op, TensorSpec

_EXTREMES = ("ttnn.max", "ttnn.min")


def _reduced_dims(op: Op, rank: int) -> tuple[int, ...]:
    """The dimensions that the call reduces, counted from the front; all, when it names none."""
    dim = op.attribute("dim")
    if dim is None:
        return tuple(range(rank))
    dims = dim if isinstance(dim, tuple) else (dim,)
    return tuple(sorted(dimension(op, index, rank) for index in dims))


def _reduced_shape(op: Op, shape: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    dims = _reduced_dims(op, len(shape))
    if keepdim:
        return tuple(1 if dim in dims else size for dim, size in enumerate(shape))
    return tuple(size for dim, size in enumerate(shape) if dim not in dims)


def _reduce(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require(x.dtype.floating or op.target != "ttnn.mean", f"{op.target} does not take {x.dtype.value}")
    # Of a row-major tensor TT-NN 0.81.1 gives extremes in tiles, but sums and means in rows.
    layout = Layout.TILE if op.target in _EXTREMES else x.layout
    return (result(op, x, _reduced_shape(op, x.shape, op.attribute("keepdim", False)), layout=layout),)


def _reduce_device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    """Clear the padding, reduce each dimension, and move what is left into the shape that was asked for.

    Extremes are found in tiles, along rows and columns only; sums over leading dimensions have their padding cut.
    """
    x = inputs[0]
    dims = _reduced_dims(op, len(x.shape))
    leading = any(dim < len(x.shape) - 2 for dim in dims)
    padded = tile_padded(x)
    if op.target in _EXTREMES:
        prepared, around = padded or x.layout is Layout.ROW_MAJOR, 2 * leading
    else:
        prepared, around = padded, leading and padded
    kept = replace(x, shape=_reduced_shape(op, x.shape, keepdim=True), layout=outputs[0].layout)
    return prepared + len(dims) + around + reshape_device_operations(kept, outputs[0].shape)


def _reduction(name: str, function: Callable[..., Tensor]) -> Operation:
    def emulate(call: Call) -> Tensor:
        (x,) = call.data
        dims, keepdim = _reduced_dims(call.op, x.dim()), call.attribute("keepdim", False)
        known = call.as_kernels and name in ("sum", "mean") and call.operands[0].spec.dtype is DType.BFLOAT16
        if not known or len(dims) != 1 or dims[0] < x.dim() - 2:
            return function(x, dims, keepdim)
        reduced = kernels.reduction(call, x, dims[0], mean=name == "mean")
        return reduced if keepdim else reduced.squeeze(dims[0])

    return Operation(
        f"ttnn.{name}",
        Family.REDUCTION,
        _reduce,
        attributes=("dim", "keepdim", "memory_config", "compute_kernel_config"),
        flops=per_input_element,
        device_operations=_reduce_device_operations,
        kernel=Kernel(fidelity=BEST_FIDELITY),
        emulate=emulate,
    )


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
    from_end = len(x.shape) - max(_reduced_dims(op, len(x.shape)), default=0)
    # Along rows both layouts have a kernel, but only that of the row-major one is for many cores.
    preferred = {1: (Layout.TILE, Layout.ROW_MAJOR), 2: (Layout.TILE,)}.get(from_end, ())
    return 1 if op.attribute("dim") is None or x.layout in preferred else 2


def _emulate_argmax(call: Call) -> Tensor:
    (x,) = call.data
    return x.argmax(call.attribute("dim"), call.attribute("keepdim", False))


def _cumsum(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    dimension(op, op.attribute("dim"), len(x.shape))
    return same_as_input(op, specs)


def _cumsum_device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    """The sum itself runs over rows or columns of bfloat16; other tensors are permuted there and back."""
    x = inputs[0]
    dtype = outputs[0].dtype
    in_place = dtype is DType.BFLOAT16 and dimension(op, op.attribute("dim"), len(x.shape)) >= len(x.shape) - 2
    return (1 if in_place else 3) + (dtype is not x.dtype)


def _emulate_cumsum(call: Call) -> Tensor:
    (x,) = call.data
    return x.cumsum(call.attribute("dim"))


REDUCTION = (
    _reduction("sum", torch.sum),
    _reduction("mean", torch.mean),
    _reduction("max", torch.amax),
    _reduction("min", torch.amin),
    Operation(
        "ttnn.argmax",
        Family.REDUCTION,
        _argmax,
        attributes=("dim", "keepdim", "memory_config"),
        into="output_tensor",
        flops=per_input_element,
        device_operations=_argmax_device_operations,
        emulate=_emulate_argmax,
    ),
    Operation(
        "ttnn.cumsum",
        Family.REDUCTION,
        _cumsum,
        attributes=("dim", "dtype"),
        flops=per_input_element,
        device_operations=_cumsum_device_operations,
        emulate=_emulate_cumsum,
    ),
)
