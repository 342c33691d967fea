"""Calls that rules for look-ups and caches must lower."""

import torch

from compiler.lowering.cases import case
from compiler.lowering.one_node import call


@case("aten.embedding.default")
def embedding(d):
    rows = d.whole(1, 40)
    ids = d.integers(*d.shape(low=0, high=3), low=0, high=rows - 1)
    return call(d.floats(rows, d.size()), ids, *d.of((), (0,)))


@case("aten.index.Tensor")
def index(d):
    rows = d.whole(1, 40)
    return call(d.floats(rows, d.size()), [d.integers(*d.shape(low=0, high=3), low=0, high=rows - 1)])


@case("aten.index_select.default")
def index_select(d):
    rows = d.whole(1, 40)
    table = d.floats(*[1] * d.whole(0, 2), rows, d.size())
    return call(table, d.of(table.ndim - 2, -2), d.integers(d.size(), low=0, high=rows - 1))


def _cache(d):
    dtype, length = d.float_dtype(), d.of(5, 32, 40)
    cache = d.floats(d.whole(1, 2), d.whole(1, 2), length, d.of(3, 32), dtype=dtype)
    rows = d.whole(1, length)
    return cache, rows, d.of(2, -2), torch.randperm(length, generator=torch.Generator().manual_seed(rows))[:rows]


@case("aten.scatter.src")
def scatter(d):
    cache, rows, dim, slots = _cache(d)
    new = d.floats(*cache.shape[:2], rows, cache.shape[3], dtype=cache.dtype)
    return call(cache, dim, slots.view(1, 1, -1, 1).expand_as(new).contiguous(), new)


@case("aten.index_copy.default")
def index_copy(d):
    cache, rows, dim, slots = _cache(d)
    return call(cache, dim, slots, d.floats(*cache.shape[:2], rows, cache.shape[3], dtype=cache.dtype))
