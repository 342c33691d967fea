"""Calls that rules for convolutions must lower."""

from compiler.lowering.cases import case
from compiler.lowering.one_node import call


def _conv(d):
    dtype, groups, kernel = d.float_dtype(), d.of(1, 1, 2), d.whole(1, 4)
    inputs, outputs = groups * d.whole(1, 5), groups * d.whole(1, 5)
    x = d.floats(d.whole(1, 2), inputs, d.whole(12, 40), dtype=dtype)
    weight = d.scaled(outputs, inputs // groups, kernel, dtype=dtype)
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
