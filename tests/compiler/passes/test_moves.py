"""Permutations and reshapes cancel where they may, and only there."""

import pytest

from compiler.building import EXACT, Building, assert_same, targets
from ttscribe.compiler.passes.moves import cancel_moves
from ttscribe.compiler.program import DType, Layout, Op


@pytest.fixture
def b():
    return Building()


def cancelled(b, *outputs):
    before = b.program(*outputs)
    after = cancel_moves(before, EXACT)
    assert_same(before, after, b.params)
    return targets(after)


def permuted(b, x, *dims):
    return b.op("ttnn.permute", x, dims=dims)


def test_permutations_meet_below_an_activation(b):
    x = b.given("x", 1, 5, 64)
    inner = b.op("ttnn.gelu", permuted(b, x, 0, 2, 1))
    assert cancelled(b, permuted(b, inner, 0, 2, 1)) == ["gelu"]


def test_reshapes_become_one(b):
    x = b.given("x", 2, 3, 64)
    assert cancelled(b, b.op("ttnn.reshape", b.op("ttnn.reshape", x, shape=(6, 64)), shape=(1, 6, 64))) == ["reshape"]


def test_permutations_that_do_not_cancel_become_one(b):
    x = b.given("x", 2, 3, 64)
    assert cancelled(b, permuted(b, permuted(b, x, 1, 0, 2), 0, 2, 1)) == ["permute"]


def test_a_move_that_is_read_twice_stays(b):
    moved = permuted(b, b.given("x", 1, 5, 64), 0, 2, 1)
    result = permuted(b, b.op("ttnn.gelu", moved), 0, 2, 1)
    assert cancelled(b, result, b.op("ttnn.tanh", moved)).count("permute") == 2


def test_a_move_that_is_an_output_stays(b):
    moved = permuted(b, b.given("x", 1, 5, 64), 0, 2, 1)
    assert "permute" in cancelled(b, permuted(b, b.op("ttnn.gelu", moved), 0, 2, 1), moved)


def test_a_reshape_between_permutations_keeps_them_apart(b):
    moved = permuted(b, b.given("x", 2, 4, 64), 1, 0, 2)
    shaped = b.op("ttnn.reshape", moved, shape=(2, 4, 64))
    assert cancelled(b, permuted(b, shaped, 1, 0, 2)) == ["permute", "reshape", "permute"]


def test_conversions_let_moves_through(b):
    moved = permuted(b, b.given("x", 2, 5, 64), 0, 2, 1)
    rows = b.op("ttnn.to_layout", b.op("ttnn.typecast", moved, dtype=DType.FLOAT32), layout=Layout.ROW_MAJOR)
    assert cancelled(b, permuted(b, rows, 0, 2, 1)) == ["typecast", "to_layout"]


def test_what_an_input_was_is_moved_out_before_it_is_written(b):
    x = b.given("x", 2, 5, 64)
    before = permuted(b, permuted(b, x, 0, 2, 1), 0, 2, 1)
    b.body.append(Op("ttnn.copy", (b.op("ttnn.gelu", x), x), ()))
    assert cancelled(b, before).count("permute") == 2


def test_a_view_of_what_an_input_was_is_no_copy_of_it(b):
    x = b.given("x", 1, 5, 64)
    before = b.op("ttnn.reshape", b.op("ttnn.reshape", x, shape=(5, 1, 64)), shape=(1, 1, 5, 64))
    b.body.append(Op("ttnn.copy", (b.op("ttnn.gelu", x), x), ()))
    assert cancelled(b, before).count("reshape") == 2
