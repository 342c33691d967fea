"""Calls that rules for norms and softmax must lower."""

import torch

from compiler.lowering.cases import case
from compiler.lowering.one_node import call


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
