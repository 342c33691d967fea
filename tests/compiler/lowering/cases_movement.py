"""Calls that rules for views, copies and rearrangements must lower."""

import math

import torch

from compiler.lowering.cases import case
from compiler.lowering.drawing import FLOATS
from compiler.lowering.one_node import call


@case("aten.alias.default", "aten.contiguous.default", "aten.detach.default", "aten.lift_fresh_copy.default")
def same(d):
    return call(d.any(*d.shape()))


@case("aten.clone.default")
def clone(d):
    return call(d.any(*d.shape()), **d.of({}, {"memory_format": torch.contiguous_format}))


@case("aten.dropout.default")
def dropout(d):
    return call(d.any(*d.shape()), *d.of((0.5, False), (0.0, True)))


@case("aten.copy.default")
def copy(d):
    shape = d.shape()
    make = d.of(d.floats, d.integers, d.booleans)
    return call(make(*shape), make(*shape))


@case("aten._to_copy.default")
def to_copy(d):
    return call(d.of(d.floats, d.booleans)(*d.shape()), dtype=d.of(*FLOATS))


@case("aten.to.dtype")
def to_dtype(d):
    return call(d.of(d.floats, d.booleans)(*d.shape()), d.of(*FLOATS))


@case("aten.view.default", "aten._unsafe_view.default", "aten.reshape.default")
def reshape(d):
    x = d.any(*d.shape())
    first, rest = math.gcd(x.numel(), d.whole(1, 64)), ()
    rest = d.of((-1,), (x.numel() // first,), (1, -1, 1))
    return call(x, [first, *rest])


@case("aten.unsqueeze.default")
def unsqueeze(d):
    x = d.any(*d.shape(high=3))
    return call(x, d.whole(-x.ndim - 1, x.ndim))


@case("aten.squeeze.dim")
def squeeze(d):
    x = d.any(*d.shape(low=2))
    return call(x, d.dim(x))


@case("aten.squeeze.dims")
def squeeze_dims(d):
    x = d.any(*d.shape(low=3))
    return call(x, sorted({d.whole(0, 1), d.whole(0, 1)}))


@case("aten.flatten.using_ints")
def flatten(d):
    x = d.any(*d.shape())
    start = d.whole(0, x.ndim - 1)
    return call(x, start, d.of(-1, d.whole(start, x.ndim - 1)))


@case("aten.unflatten.int")
def unflatten(d):
    x = d.any(*d.shape(high=3))
    dim = d.dim(x)
    first = math.gcd(x.shape[dim], d.whole(1, 8))
    return call(x, dim, [first, d.of(-1, x.shape[dim] // first)])


@case("aten.permute.default")
def permute(d):
    x = d.any(*d.shape())
    order = sorted(range(x.ndim), key=lambda _: d.whole(0, 9))
    return call(x, [dim - d.of(0, x.ndim) for dim in order])


@case("aten.transpose.int")
def transpose(d):
    x = d.any(*d.shape(low=2))
    return call(x, d.dim(x), d.dim(x))


@case("aten.t.default")
def t(d):
    return call(d.any(*d.shape(low=2, high=2)))


@case("aten.expand.default")
def expand(d):
    shape = d.shape()
    x = d.any(*d.narrowed(shape))
    own = (None,) * (len(shape) - x.ndim) + tuple(x.shape)
    return call(x, [d.of(-1, size) if size == mine else size for size, mine in zip(shape, own, strict=True)])


@case("aten.repeat.default")
def repeat(d):
    x = d.any(*d.shape(high=3))
    return call(x, [d.whole(1, 3) for _ in range(x.ndim + d.whole(0, 1))])


@case("aten.slice.Tensor")
def slice_(d):
    x = d.any(*d.shape())
    dim = d.dim(x)
    size = x.shape[dim]
    start = d.of(None, 0, d.whole(-size, size - 1), -2 * size)
    end = d.of(None, size, 2 * size + 40, 2**63 - 1, -1)
    arguments = (dim, start, end, d.of(1, 1, 2, 3, 64))
    made = len(range(size)[slice(*arguments[1:])])
    return call(x, *(arguments[: d.whole(0, 4)] if made else (dim,)))


@case("aten.select.int")
def select(d):
    x = d.any(*d.shape(low=2))
    dim = d.dim(x)
    return call(x, dim, d.whole(-x.shape[dim], x.shape[dim] - 1))


def _parts(d, *, along):
    """Tensors of one kind, of one shape but for the dimension ``along``."""
    shape, make = list(d.shape()), d.of(d.floats, d.integers, d.booleans)
    dim = d.whole(-len(shape), len(shape) - 1)
    parts = []
    for _ in range(d.whole(1, 4)):
        shape[dim] = d.of(1, 2, 5, 32) if along else shape[dim]
        parts.append(make(*shape))
    return parts, dim


@case("aten.cat.default")
def cat(d):
    parts, dim = _parts(d, along=True)
    return call(parts, dim)


@case("aten.stack.default")
def stack(d):
    parts, _ = _parts(d, along=False)
    rank = parts[0].ndim + 1
    return call(parts, d.whole(-rank, rank - 1))


def _some(d, count):
    """Some of ``count`` results."""
    return tuple(sorted({d.whole(0, count - 1), d.whole(0, count - 1)}))


@case("aten.split.Tensor", "operator.getitem")
def split(d):
    x = d.any(*d.shape())
    dim, size = d.dim(x), d.whole(1, 40)
    return call(x, size, dim, outputs=_some(d, len(x.split(size, dim))))


@case("aten.split_with_sizes.default")
def split_with_sizes(d):
    x = d.any(*d.shape())
    dim = d.dim(x)
    first = d.whole(1, x.shape[dim])
    sizes = [first, x.shape[dim] - first] if first < x.shape[dim] else [first]
    return call(x, sizes, dim, outputs=_some(d, len(sizes)))


@case("aten.chunk.default")
def chunk(d):
    x = d.any(*d.shape())
    dim, count = d.dim(x), d.whole(1, 5)
    return call(x, count, dim, outputs=_some(d, len(x.chunk(count, dim))))


@case("aten.unbind.int")
def unbind(d):
    x = d.any(*d.shape(low=2))
    dim = d.dim(x)
    return call(x, dim, outputs=_some(d, x.shape[dim]))
