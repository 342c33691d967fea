"""Biases and activations go into the product below them where they may, and only there."""

import pytest

from compiler.building import EXACT, Building, assert_same, targets
from ttscribe.compiler.editor import drop_unused
from ttscribe.compiler.passes.activations import fuse_activation, fuse_bias


@pytest.fixture
def b():
    return Building()


def fused(fuse, b, *outputs):
    before = drop_unused(b.program(*outputs))
    after = fuse(before, EXACT)
    assert_same(before, after, b.params)
    return targets(after)


def linear(b, name="w", x=None, width=64, **attributes):
    x = x or (b.given("x", 1, 5, 64))
    return b.op("ttnn.linear", x, b.weight(name, b.spec(x).shape[-1], width), **attributes)


@pytest.mark.parametrize("shape", [(64,), (1, 64), (1, 1, 64)])
def test_a_row_becomes_the_bias(b, shape):
    made = b.op("ttnn.add", linear(b), b.weight("row", *shape))
    assert "add" not in fused(fuse_bias, b, made)


def test_a_row_becomes_the_bias_through_a_reshape_of_rows(b):
    shaped = b.op("ttnn.reshape", linear(b), shape=(5, 1, 64))
    assert "add" not in fused(fuse_bias, b, b.op("ttnn.add", shaped, b.weight("row", 64)))


def test_a_row_does_not_go_through_a_reshape_of_columns(b):
    shaped = b.op("ttnn.reshape", linear(b), shape=(5, 2, 32))
    assert "add" in fused(fuse_bias, b, b.op("ttnn.add", shaped, b.weight("row", 32)))


@pytest.mark.parametrize("shape", [(5, 64), (5, 1), (1,), (1, 1)])
def test_what_is_no_row_is_no_bias(b, shape):
    assert "add" in fused(fuse_bias, b, b.op("ttnn.add", linear(b), b.weight("row", *shape)))


def test_a_row_that_widens_the_product_is_no_bias(b):
    assert "add" in fused(fuse_bias, b, b.op("ttnn.add", linear(b, width=1), b.weight("row", 64)))


def test_a_row_that_is_known_only_when_the_program_runs_is_no_bias(b):
    assert "add" in fused(fuse_bias, b, b.op("ttnn.add", linear(b), b.given("row", 1, 64)))


def test_a_product_that_is_read_twice_keeps_to_itself(b):
    product = linear(b)
    assert "add" in fused(fuse_bias, b, b.op("ttnn.add", product, b.weight("row", 64)), product)


def test_a_product_has_one_bias(b):
    first = b.op("ttnn.add", linear(b), b.weight("row", 64))
    assert fused(fuse_bias, b, b.op("ttnn.add", first, b.weight("second", 64))).count("add") == 1


def test_a_bias_comes_before_the_activation(b):
    product = linear(b, activation="gelu")
    assert "add" in fused(fuse_bias, b, b.op("ttnn.add", product, b.weight("row", 64)))


@pytest.mark.parametrize("name", ["gelu", "relu", "silu"])
def test_an_activation_goes_into_the_product(b, name):
    assert fused(fuse_activation, b, b.op(f"ttnn.{name}", linear(b))) == ["linear"]


def test_an_activation_goes_into_a_convolution(b):
    sizes = {"in_channels": 8, "out_channels": 64, "batch_size": 1, "input_length": 20, "kernel_size": 3}
    made = b.op("ttnn.conv1d", b.given("x", 1, 20, 8), b.weight("w", 64, 8, 3), padding=1, **sizes)
    assert fused(fuse_activation, b, b.op("ttnn.gelu", made)) == ["conv1d"]


def test_a_product_has_one_activation(b):
    made = b.op("ttnn.relu", b.op("ttnn.gelu", linear(b)))
    assert fused(fuse_activation, b, made) == ["linear", "relu"]


def test_a_product_that_something_else_reads_keeps_its_values(b):
    product = linear(b)
    assert "gelu" in fused(fuse_activation, b, b.op("ttnn.gelu", product), product)
    assert "gelu" in fused(fuse_activation, b, b.op("ttnn.add", b.op("ttnn.gelu", product), product))


def test_tanh_is_no_activation_of_a_product(b):
    assert "tanh" in fused(fuse_activation, b, b.op("ttnn.tanh", linear(b)))
