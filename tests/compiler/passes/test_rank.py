"""Four dimensions where calls work row by row."""

import pytest

from compiler.building import EXACT, Building, assert_same, targets
from ttscribe.compiler.passes.rank import use_four_dimensions


@pytest.fixture
def b():
    b = Building()
    b.given("x", 2, 5, 64)
    return b


def widened(b, *outputs):
    before = b.program(*outputs)
    after = use_four_dimensions(before, EXACT)
    assert_same(before, after, b.params)
    return targets(after)


def test_reshapes_between_the_two_forms_disappear(b):
    rows = b.op("ttnn.reshape", b.op("ttnn.gelu", "x"), shape=(2, 1, 5, 64))
    made = b.op("ttnn.linear", b.op("ttnn.reshape", rows, shape=(2, 5, 64)), b.weight("w", 64, 64))
    assert widened(b, b.op("ttnn.reshape", made, shape=(2, 1, 5, 64))) == ["reshape", "gelu", "linear"]


def test_what_something_else_reads_keeps_its_three_dimensions(b):
    made = b.op("ttnn.gelu", "x")
    sliced = b.op("ttnn.slice", made, slice_start=(1, 0, 0), slice_end=(2, 5, 64))
    assert widened(b, made, sliced) == ["reshape", "gelu", "reshape", "slice"]


@pytest.mark.parametrize("shape", [(64,), (1, 64), (5, 64), (1, 5, 64), (2, 1, 64), (2, 5, 64)])
def test_sums_broadcast_as_before(b, shape):
    assert "add" in widened(b, b.op("ttnn.add", "x", b.weight("w", *shape)))


def test_sums_with_inputs_of_fewer_rows(b):
    sums = [b.op("ttnn.add", b.given("y", 1, 64), "x"), b.op("ttnn.add", b.given("z", 2, 1, 64), "x")]
    assert "add" in widened(b, *sums)


def test_a_product_by_a_batch_of_matrices(b):
    assert "linear" in widened(b, b.op("ttnn.linear", "x", b.weight("w", 2, 64, 32)))


def test_norms_keep_their_rows(b):
    keywords = {"weight": b.weight("scale", 64), "bias": b.weight("shift", 1, 1, 64)}
    assert "layer_norm" in widened(b, b.op("ttnn.layer_norm", "x", keywords=keywords, epsilon=1e-5))


def test_other_reshapes_stay(b):
    made = b.op("ttnn.gelu", b.op("ttnn.reshape", "x", shape=(5, 2, 64)))
    assert widened(b, b.op("ttnn.reshape", made, shape=(5, 1, 128))).count("reshape") == 4


def test_single_rows_of_a_batch_are_the_rows_of_one_matrix(b):
    rows = b.op("ttnn.gelu", b.op("ttnn.linear", b.given("y", 4, 1, 64), b.weight("w", 64, 96)))
    before = b.program(b.op("ttnn.add", rows, b.weight("v", 1, 1, 96)))
    after = use_four_dimensions(before, EXACT)
    assert_same(before, after, b.params)
    products = [op.output.spec.shape for op in after.ops if op.target in ("ttnn.linear", "ttnn.gelu", "ttnn.add")]
    assert products == [(1, 1, 4, 96)] * 3


def test_single_rows_that_are_spread_over_others_stay_apart(b):
    assert "add" in widened(b, b.op("ttnn.gelu", b.op("ttnn.add", "x", b.op("ttnn.gelu", b.given("y", 2, 1, 64)))))


def test_single_rows_by_a_matrix_of_each_stay_apart(b):
    made = b.op("ttnn.matmul", b.given("y", 2, 1, 64), b.given("z", 2, 64, 32))
    assert "matmul" in widened(b, b.op("ttnn.gelu", made))


def test_single_rows_by_single_rows_of_each_stay_apart(b):
    made = b.op("ttnn.matmul", b.given("y", 2, 1, 1), b.given("z", 2, 1, 32))
    assert "matmul" in widened(b, b.op("ttnn.gelu", made))
