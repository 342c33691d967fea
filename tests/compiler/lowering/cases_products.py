"""Calls that rules for products, attention, norms, reductions and caches must lower."""

import torch

from compiler.lowering.cases import case
from compiler.lowering.one_node import call


def _scaled(d, *shape, dtype):
    """Factors of a product that keeps its scale."""
    return d.floats(*shape, dtype=torch.float32).div(shape[-1] ** 0.5).to(dtype)


def _dtype(d):
    return d.floats(1).dtype


@case("aten.linear.default")
def linear(d):
    dtype, width, made = _dtype(d), d.size(), d.size()
    x = d.floats(*d.shape(high=3), width, dtype=dtype)
    weight, bias = _scaled(d, made, width, dtype=dtype), d.floats(made, dtype=dtype)
    return call(x, weight, *d.of((), (None,), (bias,)))


@case("aten.mm.default")
def mm(d):
    dtype, inner = _dtype(d), d.size()
    return call(d.floats(d.size(), inner, dtype=dtype), _scaled(d, d.size(), inner, dtype=dtype).T)


@case("aten.bmm.default")
def bmm(d):
    dtype, inner, batch = _dtype(d), d.size(), d.whole(1, 3)
    return call(d.floats(batch, d.size(), inner, dtype=dtype), _scaled(d, batch, d.size(), inner, dtype=dtype).mT)


@case("aten.matmul.default")
def matmul(d):
    dtype, inner = _dtype(d), d.size()
    shape = tuple(d.whole(1, 3) for _ in range(d.whole(0, 2)))
    left, right = d.of((shape, shape), (shape, ()), ((1,) * len(shape), shape))
    return call(d.floats(*left, d.size(), inner, dtype=dtype), _scaled(d, *right, d.size(), inner, dtype=dtype).mT)


@case("aten.addmm.default")
def addmm(d):
    dtype, rows, inner, made = _dtype(d), d.size(), d.size(), d.size()
    bias = d.floats(*d.of((made,), (1, made), (rows, made), (rows, 1), (1,)), dtype=dtype)
    return call(bias, d.floats(rows, inner, dtype=dtype), _scaled(d, made, inner, dtype=dtype).T)


@case("aten.baddbmm.default")
def baddbmm(d):
    dtype, batch, rows, inner, made = _dtype(d), d.whole(1, 3), d.size(), d.size(), d.size()
    bias = d.floats(*d.of((batch, rows, made), (1, 1, made), (rows, made), (made,)), dtype=dtype)
    return call(bias, d.floats(batch, rows, inner, dtype=dtype), _scaled(d, batch, made, inner, dtype=dtype).mT)


def _conv(d):
    dtype, groups, kernel = _dtype(d), d.of(1, 1, 2), d.whole(1, 4)
    inputs, outputs = groups * d.whole(1, 5), groups * d.whole(1, 5)
    x = d.floats(d.whole(1, 2), inputs, d.whole(12, 40), dtype=dtype)
    weight = _scaled(d, outputs, inputs // groups, kernel, dtype=dtype)
    bias = d.of(None, d.floats(outputs, dtype=dtype))
    return x, weight, bias, [d.whole(1, 3)], [d.whole(0, 2)], [d.whole(1, 2)], groups


@case("aten.conv1d.default")
def conv1d(d):
    *arguments, groups = _conv(d)
    return call(*arguments, groups) if groups > 1 else call(*arguments[: d.whole(2, 6)])


@case("aten.convolution.default")
def convolution(d):
    *arguments, groups = _conv(d)
    return call(*arguments, False, [0], groups)


@case("aten.embedding.default")
def embedding(d):
    rows = d.whole(1, 40)
    ids = d.integers(*d.shape(low=0, high=3), low=0, high=rows - 1)
    return call(d.floats(rows, d.size()), ids, *d.of((), (0,)))


@case("aten.index.Tensor")
def index(d):
    rows = d.whole(1, 40)
    return call(d.floats(rows, d.size()), [d.integers(*d.shape(low=0, high=3), low=0, high=rows - 1)])


def _heads(d, shared=1):
    """Query, key and value; ``shared`` query heads to a key head."""
    dtype, batch, heads, width = _dtype(d), d.whole(1, 2), d.whole(1, 3), d.of(5, 32, 33, 64)
    rows = d.of(1, 3, 32, 33)
    query = d.floats(batch, heads * shared, rows, width if shared == 1 else 32, dtype=dtype)
    kept = (batch, heads, d.of(rows, 1, 5, 50), query.shape[3])
    return query, d.floats(*kept, dtype=dtype), d.floats(*kept, dtype=dtype)


@case("aten.scaled_dot_product_attention.default")
def attention(d):
    shared = d.of(1, 1, 2)
    query, key, values = _heads(d, shared)
    more = {**d.of({}, {"scale": 0.25}, {"scale": 1.0}), **({} if shared == 1 else {"enable_gqa": True})}
    if shared == 1 and d.of(True, False):
        return call(query, key, values, None, 0.0, True, **more)
    shape = d.narrowed((*query.shape[:3], key.shape[2]), low=2)
    allowed = d.booleans(*shape)
    allowed[..., 0] = True
    mask = d.of(None, allowed, d.floats(*shape, dtype=query.dtype))
    return call(query, key, values, *d.of((mask,), (mask, 0.0, False)), **more)


@case("aten._scaled_dot_product_flash_attention_for_cpu.default")
def flash_attention(d):
    return call(*_heads(d), 0.0, d.of(True, False), outputs=(0,))


@case("aten.softmax.int")
def softmax(d):
    x = d.floats(*d.shape(low=2))
    return call(x, d.dim(x), *d.of((), (torch.float32,)))


@case("aten._softmax.default")
def plain_softmax(d):
    x = d.floats(*d.shape(low=2))
    return call(x, d.dim(x), False)


def _norm(d):
    """Of so small a variance that the epsilon counts."""
    x = d.floats(*d.shape(low=1, high=3), d.of(2, 5, 32, 64)) * d.of(1, 1e-3)
    weight, bias = d.floats(x.shape[-1], dtype=x.dtype), d.floats(x.shape[-1], dtype=x.dtype)
    return x, [x.shape[-1]], d.of(None, weight), d.of(None, bias)


@case("aten.layer_norm.default")
def layer_norm(d):
    x, shape, weight, bias = _norm(d)
    return call(x, shape, *d.of((), (weight,), (weight, bias), (weight, bias, 1e-5), (weight, bias, 1e-3, False)))


@case("aten.native_layer_norm.default")
def native_layer_norm(d):
    x, shape, weight, bias = _norm(d)
    return call(x, shape, weight, bias, d.of(1e-5, 1e-3), outputs=(0,))


@case("aten.sum.dim_IntList", "aten.mean.dim", "aten.amax.default", "aten.amin.default")
def reduction(d):
    x = d.floats(*d.shape(low=2))
    return call(x, [d.dim(x)], *d.of((), (True,), (False,)))


@case("aten.argmax.default")
def argmax(d):
    x = d.floats(*d.shape(low=2))
    return call(x, d.of(-1, x.ndim - 1), *d.of((), (True,), (False,)))


def _cache(d):
    dtype, length = _dtype(d), d.of(5, 32, 40)
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
