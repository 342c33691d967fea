"""Views, copies and rearrangements."""

from itertools import accumulate
from typing import Any

import torch
from torch import fx

from ttscribe.compiler.lowering.builder import Builder, OnDevice
from ttscribe.compiler.lowering.guards import (
    FLOATS,
    WIDE_INTEGERS,
    all_of,
    arguments,
    guard_aten_clone,
    rank_at_least,
    tensors,
    value,
)
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import Reason
from ttscribe.compiler.settings import CompileSettings

_KEEPS_VALUES = (
    "aten.alias.default",
    "aten.contiguous.default",
    "aten.detach.default",
    "aten.lift_fresh_copy.default",
)
_RESHAPES = (
    "aten.view.default",
    "aten._unsafe_view.default",
    "aten.reshape.default",
    "aten.unsqueeze.default",
    "aten.squeeze.dim",
    "aten.squeeze.dims",
    "aten.flatten.using_ints",
    "aten.unflatten.int",
)


@rule(*_KEEPS_VALUES)
def same(b: Builder, node: fx.Node) -> str:
    return b.tensor(arguments(node)[0])


def _not_training(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    _, rate, train = arguments(node)
    return Refusal(Reason.ARGUMENT, "dropout is for training; call module.eval() first") if train and rate else None


@rule("aten.dropout.default", guard=_not_training)
def dropout(b: Builder, node: fx.Node) -> str:
    return b.tensor(arguments(node)[0])


@rule("aten.clone.default", first=guard_aten_clone)
def clone(b: Builder, node: fx.Node) -> str:
    """The graph is functional, so a copy may share its source's tensor."""
    return b.tensor(arguments(node)[0])


def _keeps_kind(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    """For a cast of, or a copy from, a node's last tensor."""
    *_, source = tensors(arguments(node))
    before, after = source.dtype, value(node).dtype
    kinds = ((before,), FLOATS, WIDE_INTEGERS)
    if any(before in kind and after in kind for kind in kinds) or (before == torch.bool and after in FLOATS):
        return None
    return Refusal(Reason.DTYPE, f"a cast from {before} to {after} changes what the device can hold exactly")


def _same_shape(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    if value(arguments(node)[0]).shape == value(arguments(node)[1]).shape:
        return None
    return Refusal(Reason.SHAPE, "a copy that broadcasts; expand the source first")


@rule("aten.copy.default", guard=all_of(_same_shape, _keeps_kind))
def copy(b: Builder, node: fx.Node) -> str:
    """What a functional graph makes of an in-place copy: the new values, in the old ones' element type."""
    destination, source = arguments(node)[:2]
    return b.like(source, destination)


@rule("aten._to_copy.default", "aten.to.dtype", guard=_keeps_kind)
def to_copy(b: Builder, node: fx.Node) -> str:
    """All floating point is held alike on the device, booleans as 0 and 1."""
    return b.tensor(arguments(node)[0])


@rule(*_RESHAPES, guard=rank_at_least(1))
def reshape(b: Builder, node: fx.Node) -> str:
    return b.op("ttnn.reshape", b.tensor(arguments(node)[0]), shape=tuple(value(node).shape))


@rule("aten.permute.default")
def permute(b: Builder, node: fx.Node) -> str:
    x, dims = arguments(node)
    rank = value(x).ndim
    return b.op("ttnn.permute", b.tensor(x), dims=tuple(dim % rank for dim in dims))


@rule("aten.transpose.int", "aten.t.default", guard=rank_at_least(2))
def transpose(b: Builder, node: fx.Node) -> str:
    x, first, second = arguments(node) if len(arguments(node)) == 3 else (arguments(node)[0], 0, 1)
    dims = list(range(value(x).ndim))
    dims[first], dims[second] = dims[second], dims[first]
    return b.op("ttnn.permute", b.tensor(x), dims=tuple(dims))


@rule("aten.expand.default", guard=rank_at_least(1))
def expand(b: Builder, node: fx.Node) -> str:
    x, shape = arguments(node)[0], tuple(value(node).shape)
    name = b.tensor(x)
    if len(shape) > value(x).ndim:
        name = b.op("ttnn.reshape", name, shape=(1,) * (len(shape) - value(x).ndim) + tuple(value(x).shape))
    # A copy, where PyTorch gives a view with strides of zero: TT-NN's tensors have no strides of their own.
    return name if b.spec(name).shape == shape else b.op("ttnn.expand", name, shape=shape)


@rule("aten.repeat.default", guard=rank_at_least(1))
def repeat(b: Builder, node: fx.Node) -> str:
    x, repeats = arguments(node)
    name = b.tensor(x)
    if len(repeats) > value(x).ndim:
        name = b.op("ttnn.reshape", name, shape=(1,) * (len(repeats) - value(x).ndim) + tuple(value(x).shape))
    return b.op("ttnn.repeat", name, shape=tuple(repeats))


def _cut(b: Builder, name: str, dim: int, start: int, end: int, step: int = 1) -> str:
    """Elements ``start`` up to ``end`` of one dimension."""
    shape = b.spec(name).shape
    starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[dim], ends[dim], steps[dim] = start, end, step
    if (start, end, step) == (0, shape[dim], 1):
        return name
    return b.op("ttnn.slice", name, slice_start=tuple(starts), slice_end=tuple(ends), slice_step=tuple(steps))


@rule("aten.slice.Tensor", guard=rank_at_least(1))
def slice_(b: Builder, node: fx.Node) -> str:
    positional = arguments(node)
    defaults: tuple[Any, ...] = (None, 0, None, None, 1)
    x, dim, start, end, step = positional + defaults[len(positional) :]
    size = value(x).shape[dim]
    first, last, by = slice(start, end, step).indices(size)
    return _cut(b, b.tensor(x), dim % value(x).ndim, first, last, by)


@rule("aten.select.int", guard=rank_at_least(1))
def select(b: Builder, node: fx.Node) -> str:
    x, dim, index = arguments(node)
    size = value(x).shape[dim]
    at = index % size
    row = _cut(b, b.tensor(x), dim % value(x).ndim, at, at + 1)
    return b.op("ttnn.reshape", row, shape=tuple(value(node).shape))


@rule("aten.cat.default", guard=rank_at_least(1))
def cat(b: Builder, node: fx.Node) -> str:
    parts, dim = (*arguments(node), 0)[:2]
    # ttnn.concat refuses mixed element types and layouts, where PyTorch promotes.
    names = [b.like(part, node) for part in parts]
    return b.op("ttnn.concat", *names, dim=dim % value(node).ndim)


def _pieces(b: Builder, x: Any, dim: int, sizes: list[int]) -> tuple[str, ...]:
    name = b.tensor(x)
    ends = list(accumulate(sizes))
    return tuple(_cut(b, name, dim % value(x).ndim, end - size, end) for size, end in zip(sizes, ends, strict=True))


@rule("aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default")
def split(b: Builder, node: fx.Node) -> tuple[str, ...]:
    dim = arguments(node)[2] if len(arguments(node)) > 2 else 0
    sizes = [piece.shape[dim] for piece in value(node)]
    return _pieces(b, arguments(node)[0], dim, sizes)


@rule("aten.unbind.int")
def unbind(b: Builder, node: fx.Node) -> tuple[str, ...]:
    dim = arguments(node)[1] if len(arguments(node)) > 1 else 0
    pieces = _pieces(b, arguments(node)[0], dim, [1] * len(value(node)))
    shape = tuple(value(node)[0].shape)
    return tuple(b.op("ttnn.reshape", piece, shape=shape) for piece in pieces)


@rule("aten.stack.default")
def stack(b: Builder, node: fx.Node) -> str:
    parts, dim = (*arguments(node), 0)[:2]
    rank = value(node).ndim
    shape = list(value(node).shape)
    shape[dim % rank] = 1
    names = [b.op("ttnn.reshape", b.like(part, node), shape=tuple(shape)) for part in parts]
    return b.op("ttnn.concat", *names, dim=dim % rank)


@rule("operator.getitem")
def getitem(b: Builder, node: fx.Node) -> str:
    source, index = arguments(node)
    places: tuple[OnDevice, ...] = b.places[source]
    name: str = places[index].name
    return name
