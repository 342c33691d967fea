"""Calls that pointwise rules must lower."""

import torch

from compiler.lowering.cases import case
from compiler.lowering.one_node import call

ANY_NUMBER = ("abs", "ceil", "cos", "erf", "exp", "floor", "neg", "relu", "sigmoid", "silu", "sin", "tanh")
POSITIVE = ("log", "reciprocal", "rsqrt", "sqrt")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


@case(*(f"aten.{name}.default" for name in ANY_NUMBER))
def unary(d):
    return call(d.floats(*d.shape()))


@case(*(f"aten.{name}.default" for name in POSITIVE))
def unary_of_positive(d):
    return call(d.floats(*d.shape()).abs() + 0.25)


@case("aten.gelu.default")
def gelu(d):
    return call(d.floats(*d.shape()), approximate=d.of("none", "tanh"))


@case("aten.mul.Tensor")
def arithmetic(d):
    return call(*d.of(d.pair(), [d.floats(*d.shape()), d.number()]))


@case("aten.div.Tensor")
def division(d):
    left, right = d.pair()
    return call(*d.of([left, right.abs() + 0.5], [d.floats(*d.shape()), d.of(3, -0.25)]))


@case("aten.mul.Scalar")
def by_number(d):
    return call(d.floats(*d.shape()), d.number())


@case("aten.div.Scalar")
def divided_by_number(d):
    return call(d.floats(*d.shape()), d.of(2, -0.5, 1e-3))


@case("aten.maximum.default", "aten.minimum.default")
def extremes(d):
    return call(*d.pair())


@case("aten.add.Tensor", "aten.sub.Tensor")
def sums(d):
    if d.of(True, False):
        return call(d.integers(*d.shape()), d.whole(-1000, 1000))
    operands = d.of(d.pair(), [d.floats(*d.shape()), d.number()])
    return call(*operands, **d.of({}, {"alpha": 2}, {"alpha": -0.5}))


@case("aten.add.Scalar", "aten.sub.Scalar", "aten.rsub.Scalar")
def sums_with_number(d):
    return call(d.floats(*d.shape()), d.number(), *d.of((), (2,), (-0.5,)))


@case("aten.pow.Tensor_Scalar")
def power(d):
    exponent = d.of(0, 1, 2, 3, 4, -1, 0.5, 2.5)
    return call(d.floats(*d.shape()).abs() + 0.25, exponent)


@case(*(f"aten.{name}.Tensor" for name in COMPARISONS))
def comparison(d):
    dtype = d.of(None, *(d.integers(1).dtype for _ in range(2)))
    if dtype is None:
        return call(*d.pair())
    return call(*d.pair(lambda *shape: d.integers(*shape, dtype=dtype)))


@case(*(f"aten.{name}.Scalar" for name in COMPARISONS))
def comparison_with_number(d):
    x = d.of(d.integers, d.floats)(*d.shape())
    return call(x, d.whole(-3, 3) if not x.is_floating_point() else d.of(0, -1, 0.5, d.whole(-3, 3)))


@case(
    *(f"aten.{name}" for name in ("logical_and.default", "bitwise_and.Tensor", "__and__.Tensor")),
    *(f"aten.{name}" for name in ("logical_or.default", "bitwise_or.Tensor", "__or__.Tensor")),
)
def both_or_either(d):
    return call(*d.pair(d.booleans))


@case("aten.logical_not.default", "aten.bitwise_not.default")
def negation(d):
    return call(d.booleans(*d.shape()))


@case("aten.where.self")
def where(d):
    shape = d.shape()
    if d.of(True, False, False):
        dtype = d.of(torch.int32, torch.int64)
        left, right = d.pair(lambda *sizes: d.integers(*sizes, dtype=dtype))
        return call(d.booleans(*d.narrowed(left.shape)), left, right)
    left, right = d.pair()
    if d.of(True, False):
        left, right = d.floats(*shape, dtype=left.dtype), d.floats(*d.narrowed(shape), dtype=left.dtype)
        return call(d.booleans(*d.narrowed(shape)), left, right)
    return call(d.booleans(*d.narrowed(left.shape)), left, right)


@case("aten.where.ScalarOther")
def where_else_number(d):
    shape = d.shape()
    return call(d.booleans(*d.narrowed(shape)), d.floats(*shape), d.of(0, -1.5, float("-inf")))


@case("aten.where.ScalarSelf")
def where_number_else(d):
    shape = d.shape()
    return call(d.booleans(*shape), d.of(0, 2.5, float("inf")), d.floats(*d.narrowed(shape)))


@case("aten.where.Scalar")
def where_numbers(d):
    return call(d.booleans(*d.shape()), d.of(0.0, -1.5, float("-inf")), d.of(0.0, 2.5))


@case("aten.masked_fill.Scalar")
def masked_fill(d):
    shape = d.shape()
    return call(d.floats(*shape), d.booleans(*d.narrowed(shape)), d.of(0, -1e4, float("-inf")))


@case("aten.clamp.default")
def clamp(d):
    return call(d.floats(*d.shape()), *d.of((-0.5,), (None, 1), (-1, 0.5), (1, -1)))


@case("aten.leaky_relu.default")
def leaky_relu(d):
    return call(d.floats(*d.shape()), *d.of((), (0.2,), (0.0,), (-0.5,)))
