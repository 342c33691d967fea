"""Calls that rules for reductions must lower."""

from compiler.lowering.cases import case
from compiler.lowering.one_node import call


@case("aten.sum.dim_IntList", "aten.mean.dim", "aten.amax.default", "aten.amin.default")
def reduction(d):
    x = d.floats(*d.shape(low=2))
    return call(x, [d.dim(x)], *d.of((), (True,), (False,)))


@case("aten.argmax.default")
def argmax(d):
    x = d.floats(*d.shape(low=2))
    return call(x, d.of(-1, x.ndim - 1), *d.of((), (True,), (False,)))
