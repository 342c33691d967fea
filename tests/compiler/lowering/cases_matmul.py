"""Calls that rules for linear layers and matrix products must lower."""

from compiler.lowering.cases import case
from compiler.lowering.one_node import call


@case("aten.linear.default")
def linear(d):
    dtype, width, made = d.float_dtype(), d.size(), d.size()
    x = d.floats(*d.shape(high=3), width, dtype=dtype)
    weight, bias = d.scaled(made, width, dtype=dtype), d.floats(made, dtype=dtype)
    return call(x, weight, *d.of((), (None,), (bias,)))


@case("aten.mm.default")
def mm(d):
    dtype, inner = d.float_dtype(), d.size()
    return call(d.floats(d.size(), inner, dtype=dtype), d.scaled(d.size(), inner, dtype=dtype).T)


@case("aten.bmm.default")
def bmm(d):
    dtype, inner, batch = d.float_dtype(), d.size(), d.whole(1, 3)
    return call(d.floats(batch, d.size(), inner, dtype=dtype), d.scaled(batch, d.size(), inner, dtype=dtype).mT)


@case("aten.matmul.default")
def matmul(d):
    dtype, inner = d.float_dtype(), d.size()
    shape = tuple(d.whole(1, 3) for _ in range(d.whole(0, 2)))
    left, right = d.of((shape, shape), (shape, ()), ((1,) * len(shape), shape))
    return call(d.floats(*left, d.size(), inner, dtype=dtype), d.scaled(*right, d.size(), inner, dtype=dtype).mT)


@case("aten.addmm.default")
def addmm(d):
    dtype, rows, inner, made = d.float_dtype(), d.size(), d.size(), d.size()
    bias = d.floats(*d.of((made,), (1, made), (rows, made), (rows, 1), (1,)), dtype=dtype)
    return call(bias, d.floats(rows, inner, dtype=dtype), d.scaled(made, inner, dtype=dtype).T)


@case("aten.baddbmm.default")
def baddbmm(d):
    dtype, batch, rows, inner, made = d.float_dtype(), d.whole(1, 3), d.size(), d.size(), d.size()
    bias = d.floats(*d.of((batch, rows, made), (1, 1, made), (rows, made), (made,)), dtype=dtype)
    return call(bias, d.floats(batch, rows, inner, dtype=dtype), d.scaled(batch, made, inner, dtype=dtype).mT)
