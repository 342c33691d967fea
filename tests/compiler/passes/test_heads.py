"""Heads are cut and joined by TT-NN's own calls where these compute the same, and only there."""

import pytest

from compiler.building import EXACT, Building, assert_same, targets
from ttscribe.compiler.editor import drop_unused
from ttscribe.compiler.passes.heads import fuse_heads, join_heads
from ttscribe.compiler.program import Layout

CUT, JOIN = "nlp_create_qkv_heads", "nlp_concat_heads"


@pytest.fixture
def b():
    b = Building()
    b.given("x", 2, 5, 64)
    return b


def rewritten(b, *outputs, by=fuse_heads):
    before = drop_unused(b.program(*outputs))
    after = by(before, EXACT)
    assert_same(before, after, b.params)
    return targets(after)


def heads(b, name, x="x", count=2, bias="row", weight=None, **attributes):
    """``x`` [2, 5, 64] projected and cut into heads [2, count, 5, 64 / count]."""
    row = {"row": b.weight(f"{name}_bias", 1, 64), None: None}.get(bias, bias)
    product = b.op("ttnn.linear", x, weight or b.weight(name, 64, 64), keywords={"bias": row}, **attributes)
    shaped = b.op("ttnn.reshape", product, shape=(2, 5, count, 64 // count))
    return b.op("ttnn.permute", shaped, dims=(0, 2, 1, 3))


def attend(b, *values):
    return b.op("ttnn.transformer.scaled_dot_product_attention", *values, is_causal=False, scale=0.25)


def test_query_key_and_value_are_one_product(b):
    made = attend(b, heads(b, "q"), heads(b, "k", bias=None), heads(b, "v"))
    assert rewritten(b, made) == ["linear", "reshape", CUT, "scaled_dot_product_attention"]


def test_none_has_a_bias(b):
    made = attend(b, *(heads(b, name, bias=None) for name in "qkv"))
    assert rewritten(b, made).count("linear") == 1


def test_query_of_another_input_is_cut_by_itself(b):
    made = attend(b, heads(b, "q", b.given("y", 2, 5, 64)), heads(b, "k"), heads(b, "v"))
    found = rewritten(b, made)
    assert (found.count("linear"), found.count(CUT), found.count("permute")) == (3, 3, 0)


def test_a_key_that_is_also_the_query_is_cut_once(b):
    query = heads(b, "q")
    assert rewritten(b, attend(b, query, query, heads(b, "v"))).count("linear") == 2


def test_two_attentions_over_one_input(b):
    first = attend(b, *(heads(b, f"{name}1") for name in "qkv"))
    second = attend(b, *(heads(b, f"{name}2") for name in "qkv"))
    assert "permute" not in rewritten(b, first, second)


def test_weights_that_are_known_only_when_the_program_runs_are_not_joined(b):
    made = attend(b, heads(b, "q"), heads(b, "k", weight=b.given("w", 64, 64)), heads(b, "v"))
    assert rewritten(b, made).count("linear") == 3


def test_a_bias_that_is_known_only_when_the_program_runs_is_not_joined(b):
    made = attend(b, heads(b, "q", bias=b.given("given_row", 1, 64)), heads(b, "k"), heads(b, "v"))
    assert rewritten(b, made).count("linear") == 3


@pytest.mark.parametrize("attributes", [{"activation": "gelu"}, {"transpose_b": True}])
def test_products_of_which_more_is_asked_are_not_joined(b, attributes):
    made = attend(b, heads(b, "q", **attributes), heads(b, "k", **attributes), heads(b, "v", **attributes))
    assert rewritten(b, made).count("linear") == 3


def test_a_product_that_something_else_reads_is_not_joined(b):
    product = b.op("ttnn.linear", "x", b.weight("q", 64, 64))
    query = b.op("ttnn.permute", b.op("ttnn.reshape", product, shape=(2, 5, 2, 32)), dims=(0, 2, 1, 3))
    made = attend(b, query, heads(b, "k"), heads(b, "v"))
    assert rewritten(b, made, product).count("linear") == 3


def test_heads_that_fill_no_tile_are_cut_by_hand(b):
    assert CUT not in rewritten(b, heads(b, "q", count=4))


def test_other_orders_are_no_heads(b):
    product = b.op("ttnn.linear", "x", b.weight("q", 64, 64))
    shaped = b.op("ttnn.reshape", product, shape=(2, 5, 2, 32))
    assert CUT not in rewritten(b, b.op("ttnn.permute", shaped, dims=(2, 0, 1, 3)))


def test_rows_that_are_regrouped_are_no_heads(b):
    product = b.op("ttnn.linear", "x", b.weight("q", 64, 64))
    shaped = b.op("ttnn.reshape", product, shape=(5, 2, 2, 32))
    assert CUT not in rewritten(b, b.op("ttnn.permute", shaped, dims=(0, 2, 1, 3)))


def joined(b, shape, dims=(0, 2, 1, 3), x=None):
    x = x or b.given("heads", 2, 2, 5, 32)
    return b.op("ttnn.reshape", b.op("ttnn.permute", x, dims=dims), shape=shape)


def test_heads_are_joined(b):
    assert rewritten(b, joined(b, (2, 5, 64)), by=join_heads) == [JOIN, "reshape"]


def test_heads_that_fill_no_tile_are_joined_by_hand(b):
    assert JOIN not in rewritten(b, joined(b, (2, 5, 64), x=b.given("h", 2, 4, 5, 16)), by=join_heads)


def test_heads_in_rows_are_joined_by_hand(b):
    rows = b.op("ttnn.to_layout", b.given("h", 2, 2, 5, 32), layout=Layout.ROW_MAJOR)
    assert JOIN not in rewritten(b, joined(b, (2, 5, 64), x=rows), by=join_heads)


@pytest.mark.parametrize("shape", [(1, 10, 64), (2, 10, 32), (2, 5, 2, 32)])
def test_other_shapes_are_no_joined_heads(b, shape):
    assert JOIN not in rewritten(b, joined(b, shape), by=join_heads)


def test_other_orders_are_no_joined_heads(b):
    unmoved = joined(b, (2, 5, 64), x=b.given("h", 2, 5, 2, 32), dims=(0, 1, 2, 3))
    assert JOIN not in rewritten(b, unmoved, by=join_heads)


def test_heads_that_something_else_reads_are_joined_by_hand(b):
    turned = b.op("ttnn.permute", b.given("heads", 2, 2, 5, 32), dims=(0, 2, 1, 3))
    assert JOIN not in rewritten(b, b.op("ttnn.reshape", turned, shape=(2, 5, 64)), turned, by=join_heads)
