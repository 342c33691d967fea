"""Inputs in the form in which they are read, and state that changes in place."""

import pytest
import torch

from compiler.building import EXACT, Building, arguments_for, assert_same, targets
from ttscribe.compiler.passes.boundary import (
    increment_in_place,
    propagate_layouts_to_inputs,
    skip_regrouping_before_convolutions,
)
from ttscribe.compiler.program import DType, Layout, Op


@pytest.fixture
def b():
    return Building()


def rewritten(rewrite, b, *outputs, **arguments):
    before = b.program(*outputs)
    after = rewrite(before, EXACT)
    assert_same(before, after, b.params, {**arguments_for(before), **arguments})
    return after


def looked_up(b, ids, table="table"):
    return b.op("ttnn.embedding", ids, b.weight(table, 8, 64, layout=Layout.ROW_MAJOR), layout=Layout.TILE)


def unsigned(b, name):
    return b.op("ttnn.typecast", name, dtype=DType.UINT32)


def form(program):
    return program.inputs[0].spec.dtype


def test_ids_come_in_as_they_are_looked_up(b):
    ids = b.given("ids", 1, 5, dtype=DType.INT32)
    made = rewritten(
        propagate_layouts_to_inputs, b, looked_up(b, unsigned(b, ids)), looked_up(b, unsigned(b, ids), "second")
    )
    assert (form(made), targets(made)) == (DType.UINT32, ["embedding", "embedding"])


def test_an_input_that_is_read_in_two_forms_stays(b):
    ids = b.given("ids", 1, 5, dtype=DType.INT32)
    made = rewritten(propagate_layouts_to_inputs, b, looked_up(b, unsigned(b, ids)), b.op("ttnn.add", ids, other=1))
    assert form(made) is DType.INT32


def test_an_input_that_is_cast_to_two_forms_stays(b):
    ids = b.given("ids", 1, 5, dtype=DType.INT32)
    tiles = b.op("ttnn.to_layout", ids, layout=Layout.TILE)
    assert form(rewritten(propagate_layouts_to_inputs, b, looked_up(b, unsigned(b, ids)), tiles)) is DType.INT32


def test_an_input_that_is_an_output_stays(b):
    ids = b.given("ids", 1, 5, dtype=DType.INT32)
    assert form(rewritten(propagate_layouts_to_inputs, b, looked_up(b, unsigned(b, ids)), ids)) is DType.INT32


def new_ids(b):
    """Ids that the program makes: the likeliest columns, cast to the form in which ids came in."""
    rows = b.op("ttnn.to_layout", b.given("scores", 1, 5, 8), layout=Layout.ROW_MAJOR)
    return b.op("ttnn.argmax", rows, dim=-1, keepdim=False)


def test_new_state_is_written_in_the_form_in_which_it_is_read(b):
    ids = b.given("ids", 1, 5, dtype=DType.INT32)
    made = looked_up(b, unsigned(b, ids))
    b.body.append(Op("ttnn.copy", (b.op("ttnn.typecast", new_ids(b), dtype=DType.INT32), ids), ()))
    after = rewritten(propagate_layouts_to_inputs, b, made)
    assert form(after) is DType.UINT32
    assert "typecast" not in targets(after)


def test_new_state_in_no_other_form_leaves_the_input_as_it_is(b):
    ids = b.given("ids", 1, 5, dtype=DType.INT32)
    made = looked_up(b, unsigned(b, ids))
    b.body.append(Op("ttnn.copy", (b.op("ttnn.add", b.given("new", 1, 5, dtype=DType.INT32), other=1), ids), ()))
    assert form(rewritten(propagate_layouts_to_inputs, b, made)) is DType.INT32


def test_what_an_input_was_outlives_its_new_value(b):
    ids = b.given("ids", 1, 5, dtype=DType.INT32)
    before = unsigned(b, ids)
    b.body.append(Op("ttnn.copy", (b.op("ttnn.typecast", new_ids(b), dtype=DType.INT32), ids), ()))
    assert form(rewritten(propagate_layouts_to_inputs, b, before)) is DType.INT32


def test_a_convolution_reads_rows_however_they_are_grouped(b):
    untiled = b.op("ttnn.to_layout", b.given("x", 1, 1, 20, 8), layout=Layout.ROW_MAJOR)
    rows = b.op("ttnn.reshape", untiled, shape=(2, 10, 8))
    made = rewritten(skip_regrouping_before_convolutions, b, convolved(b, rows))
    assert targets(made) == ["conv1d"]


def test_a_convolution_reads_no_other_columns(b):
    other = b.op("ttnn.reshape", b.given("x", 1, 10, 16), shape=(2, 10, 8))
    made = rewritten(skip_regrouping_before_convolutions, b, convolved(b, other))
    assert targets(made) == ["reshape", "conv1d"]


def convolved(b, x):
    sizes = {"in_channels": 8, "out_channels": 16, "batch_size": 2, "input_length": 10, "kernel_size": 3}
    return b.op("ttnn.conv1d", x, b.weight("w", 16, 8, 3, layout=Layout.ROW_MAJOR), padding=1, **sizes)


def counted(b, name, *, plus=1, into=None):
    following = b.op("ttnn.add", name, other=plus)
    b.body.append(Op("ttnn.copy", (following, into or name), ()))
    return following


def test_a_position_is_counted_in_place(b):
    counted(b, b.given("position", 1, dtype=DType.INT32))
    assert targets(rewritten(increment_in_place, b, position=torch.tensor([7]))) == ["plus_one"]


def test_a_position_that_is_also_an_output(b):
    following = counted(b, b.given("position", 1, dtype=DType.INT32))
    assert targets(rewritten(increment_in_place, b, following)) == ["add", "plus_one"]


@pytest.mark.parametrize("plus", [2, -1])
def test_other_steps_are_copied(b, plus):
    counted(b, b.given("position", 1, dtype=DType.INT32), plus=plus)
    assert targets(rewritten(increment_in_place, b)) == ["add", "copy"]


def test_floats_are_copied(b):
    counted(b, b.given("x", 5, 64))
    assert targets(rewritten(increment_in_place, b)) == ["add", "copy"]


def test_another_position_is_copied(b):
    position, other = (b.given(name, 1, dtype=DType.INT32) for name in ("position", "other"))
    counted(b, position, into=other)
    assert targets(rewritten(increment_in_place, b)) == ["add", "copy"]
