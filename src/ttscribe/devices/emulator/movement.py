"""Moves, look-ups and reductions."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.movement import expanded_shape, permutation, resolved_shape, slice_steps
from ttscribe.compiler.operations.reduction import reduced_dims
from ttscribe.compiler.program import DType
from ttscribe.devices.emulator.tensors import Call


def _reshape(call: Call) -> Tensor:
    (x,) = call.data
    return x.reshape(resolved_shape(call.op, x.shape))


def _permute(call: Call) -> Tensor:
    (x,) = call.data
    return x.permute(permutation(call.op, x.dim()))


def _slice(call: Call) -> Tensor:
    (x,) = call.data
    ranges = zip(call.attribute("slice_start"), call.attribute("slice_end"), slice_steps(call.op), strict=True)
    return x[tuple(slice(start, end, step) for start, end, step in ranges)]


def _concat(call: Call) -> Tensor:
    return torch.cat(call.data, call.attribute("dim"))


def _repeat(call: Call) -> Tensor:
    (x,) = call.data
    return x.repeat(call.attribute("shape"))


def _expand(call: Call) -> Tensor:
    (x,) = call.data
    return x.expand(expanded_shape(call.op, tuple(x.shape)))


def _pad(call: Call) -> Tensor:
    (x,) = call.data
    flat = [size for pair in reversed(call.attribute("padding")) for size in pair]
    return F.pad(x, flat, value=call.attribute("value", 0))


def _as_it_is(call: Call) -> Tensor:
    (x,) = call.data
    return x


def _typecast(call: Call) -> Tensor:
    """Floats become integers toward zero."""
    (x,) = call.data
    dtype: DType = call.attribute("dtype")
    return x if dtype.floating else x.trunc()


def _embedding(call: Call) -> Tensor:
    ids, weight = call.data
    return F.embedding(ids, weight.reshape(-1, weight.shape[-1]))


def _scatter(call: Call) -> Tensor:
    x, index, source = call.data
    return x.scatter(call.attribute("dim"), index, source)


def _gather(call: Call) -> Tensor:
    x, index = call.data
    return x.gather(call.attribute("dim"), index)


def _reduction(function: Callable[..., Tensor]) -> Callable[[Call], Tensor]:
    def reduce(call: Call) -> Tensor:
        (x,) = call.data
        return function(x, reduced_dims(call.op, x.dim()), call.attribute("keepdim", False))

    return reduce


def _argmax(call: Call) -> Tensor:
    (x,) = call.data
    return x.argmax(call.attribute("dim"), call.attribute("keepdim", False))


def _cumsum(call: Call) -> Tensor:
    (x,) = call.data
    return x.cumsum(call.attribute("dim"))


# These give values that their inputs hold already.
MOVES: dict[str, Callable[[Call], Tensor]] = {
    "ttnn.reshape": _reshape,
    "ttnn.permute": _permute,
    "ttnn.transpose": _permute,
    "ttnn.slice": _slice,
    "ttnn.concat": _concat,
    "ttnn.repeat": _repeat,
    "ttnn.expand": _expand,
    "ttnn.clone": _as_it_is,
    "ttnn.to_layout": _as_it_is,
    "ttnn.to_memory_config": _as_it_is,
    "ttnn.embedding": _embedding,
    "ttnn.scatter": _scatter,
    "ttnn.gather": _gather,
}

REDUCTIONS: dict[str, Callable[[Call], Tensor]] = {
    "ttnn.pad": _pad,
    "ttnn.typecast": _typecast,
    "ttnn.sum": _reduction(torch.sum),
    "ttnn.mean": _reduction(torch.mean),
    "ttnn.max": _reduction(torch.amax),
    "ttnn.min": _reduction(torch.amin),
    "ttnn.argmax": _argmax,
    "ttnn.cumsum": _cumsum,
}
