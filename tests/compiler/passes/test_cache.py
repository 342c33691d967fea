"""Caches are written in place where that is the same, and only there."""

import pytest
import torch

from compiler.building import EXACT, Building, arguments_for, assert_same, targets
from ttscribe.compiler.passes.cache import update_caches_in_place
from ttscribe.compiler.program import DType, Layout, Op, Role

FILL, UPDATE, DECODE = "fill_cache", "paged_update_cache", "scaled_dot_product_attention_decode"
LENGTH = 64


@pytest.fixture
def b():
    return Building()


def rewritten(b, *outputs, **arguments):
    before = b.program(*outputs)
    after = update_caches_in_place(before, EXACT)
    assert_same(before, after, b.params, {**arguments_for(before), **arguments})
    return targets(after)


def write_back(b, cache, new):
    b.body.append(Op("ttnn.copy", (new, cache), ()))


def filled(b, index, *, rows=3, batch=1, dim=2, cache_heads=2):
    """A prompt's rows scattered into a cache that is copied back; ``index`` makes the rows' numbers."""
    cache, new = b.given("cache", batch, cache_heads, LENGTH, 32), b.given("new", batch, 2, rows, 32)
    made = b.op("ttnn.scatter", cache, index(b.spec(new).shape), new, dim=dim)
    write_back(b, cache, made)
    return made


def spread(b, *unit, start=0):
    """The numbers from ``start``, as many as ``unit`` holds, spread over a shape."""
    count = max(unit)
    return lambda shape: b.op("ttnn.expand", b.counted(start, start + count, *unit), shape=shape)


def test_rows_from_the_first_on_fill_the_cache(b):
    assert FILL in rewritten(b, b.op("ttnn.gelu", filled(b, spread(b, 1, 1, 3, 1))))


def test_their_numbers_may_be_reshaped(b):
    def index(shape):
        return b.op("ttnn.expand", b.op("ttnn.reshape", b.counted(0, 3, 3), shape=(1, 1, 3, 1)), shape=shape)

    assert FILL in rewritten(b, filled(b, index))


@pytest.mark.parametrize("start", [1, 7])
def test_rows_from_another_on_do_not(b, start):
    assert FILL not in rewritten(b, filled(b, spread(b, 1, 1, 3, 1, start=start)))


def test_rows_numbered_along_another_dimension_do_not(b):
    assert FILL not in rewritten(b, filled(b, spread(b, 1, 1, 1, 32), rows=32))
    other = Building()
    assert FILL not in rewritten(other, filled(other, spread(other, 1, 2, 1, 1), rows=2))


def test_columns_do_not(b):
    assert FILL not in rewritten(b, filled(b, spread(b, 1, 1, 3, 1), dim=3))


def test_a_batch_does_not(b):
    assert FILL not in rewritten(b, filled(b, spread(b, 1, 1, 3, 1), batch=2))


def test_rows_of_some_heads_do_not(b):
    assert FILL not in rewritten(b, filled(b, spread(b, 1, 1, 3, 1), cache_heads=4))


def test_numbers_that_are_known_only_when_the_program_runs_do_not(b):
    rows = b.given("rows", 1, 1, 3, 1, dtype=DType.INT32)
    made = filled(b, lambda shape: b.op("ttnn.expand", rows, shape=shape))
    assert FILL not in rewritten(b, made, rows=torch.arange(3).view(1, 1, 3, 1))


def test_a_cache_that_is_read_as_it_was_is_not_written_in_place(b):
    made = filled(b, spread(b, 1, 1, 3, 1))
    assert FILL not in rewritten(b, b.op("ttnn.add", made, "cache"))


def test_a_cache_that_is_not_copied_back_is_not_written_in_place(b):
    cache, new = b.given("cache", 1, 2, LENGTH, 32), b.given("new", 1, 2, 3, 32)
    made = b.op("ttnn.scatter", cache, spread(b, 1, 1, 3, 1)((1, 2, 3, 32)), new, dim=2)
    assert FILL not in rewritten(b, made)


def test_a_cache_that_is_copied_into_another_is_not_written_in_place(b):
    cache, new = b.given("cache", 1, 2, LENGTH, 32), b.given("new", 1, 2, 3, 32)
    made = b.op("ttnn.scatter", cache, spread(b, 1, 1, 3, 1)((1, 2, 3, 32)), new, dim=2)
    write_back(b, b.given("other", 1, 2, LENGTH, 32), made)
    assert FILL not in rewritten(b, made)


class Step:
    """One decode step's attention; every argument but ``users`` makes one thing other than what the pass looks for."""

    def __init__(self, b, *, users=1, rows=1, length=LENGTH, compare="ttnn.le", start=0, swapped=False, **other):
        self.b = b
        given = b.given("position", *other.get("position_shape", (users,)), dtype=DType.INT32)
        product = b.op("ttnn.linear", b.given("x", users, 1, rows, 64), b.weight("w", 64, 192))
        self.index_shape = other.get("index_shape", (users, 1, 1, 1))
        self.heads = b.ops(
            "ttnn.experimental.nlp_create_qkv_heads", product, num_heads=2, num_kv_heads=2, transpose_k_heads=False
        )
        self.position = other.get("computed", lambda name: name)(given)
        self.caches = [b.given(name, users, 2, length, 32) for name in ("keys", "values")]
        at = [self.position, other.get("value_position", lambda: self.position)()]
        self.written = [self._write(*each) for each in zip(self.caches, self.heads[1:], at, strict=True)]
        slots = b.counted(start, start + length, 1, 1, 1, length)
        seen_shape = other.get("mask_shape", (users, 1, 1, 1))
        seen = b.op("ttnn.reshape", other.get("mask_position", lambda: self.position)(), shape=seen_shape)
        order = [seen, slots] if swapped else [slots, seen]
        self.compared = b.op(compare, *(b.cast(name, layout=Layout.TILE) for name in order))
        shape = (users, *seen_shape[1:2], rows, length)
        allowed = b.op("ttnn.expand", b.cast(self.compared, DType.BFLOAT16), shape=shape)
        role = other.get("role", Role.ADDITIVE_MASK)
        self.mask = b.op("ttnn.where", allowed, role=role, true_value=0.0, false_value=-1e9)
        self.attended = self.attend(self.heads[0])
        for cache, new in zip(self.caches, self.written, strict=True):
            write_back(b, cache, new)

    def _write(self, cache, new, position):
        wide = self.b.op("ttnn.reshape", position, shape=self.index_shape)
        index = self.b.op("ttnn.expand", wide, shape=self.b.spec(new).shape)
        return self.b.op("ttnn.scatter", cache, index, new, dim=2)

    def attend(self, query):
        name = "ttnn.transformer.scaled_dot_product_attention"
        keywords = {"attn_mask": self.mask}
        return self.b.op(name, query, *self.written, keywords=keywords, is_causal=False, scale=0.25)


def decoded(b, step, *outputs, **arguments):
    return rewritten(b, step.attended, *outputs, **({"position": torch.tensor([5])} | arguments))


def test_a_step_updates_its_caches_and_attends_to_them(b):
    found = decoded(b, Step(b))
    assert (found.count(UPDATE), found.count(DECODE), found.count("where")) == (2, 1, 0)


def test_each_of_several_users_has_a_position_of_its_own(b):
    found = decoded(b, Step(b, users=3), position=torch.tensor([5, 0, 63]))
    assert (found.count(UPDATE), found.count(DECODE), found.count("where")) == (2, 1, 0)


@pytest.mark.parametrize("shape", ["index_shape", "mask_shape"])
def test_positions_of_heads_are_none_of_users(b, shape):
    """Two users, and two heads: numbers of which each is of a head."""
    found = decoded(b, Step(b, users=2, **{shape: (1, 2, 1, 1)}), position=torch.tensor([5, 9]))
    assert DECODE not in found


def test_more_users_than_a_tile_has_rows(b):
    assert DECODE not in decoded(b, Step(b, users=33), position=torch.arange(33))


def test_joining_the_heads_of_several_users_is_a_reshape(b):
    joined = b.op("ttnn.experimental.nlp_concat_heads", Step(b, users=2).attended)
    assert "nlp_concat_heads" not in rewritten(b, joined, position=torch.tensor([63, 7]))


def test_joining_the_heads_is_a_reshape(b):
    joined = b.op("ttnn.experimental.nlp_concat_heads", Step(b).attended)
    assert "nlp_concat_heads" not in rewritten(b, joined, position=torch.tensor([63]))


def other_position(b):
    return lambda: b.given("second", 1, dtype=DType.INT32)


@pytest.mark.parametrize("which", ["value_position", "mask_position"])
def test_positions_that_differ(b, which):
    found = decoded(b, Step(b, **{which: other_position(b)}), second=torch.tensor([9]))
    assert DECODE not in found


@pytest.mark.parametrize(
    "mask",
    [
        {"compare": "ttnn.lt"},
        {"compare": "ttnn.ge"},
        {"swapped": True},
        {"start": 1},
        {"role": Role.INTERMEDIATE},
    ],
)
def test_masks_that_are_not_the_causal_one(b, mask):
    assert DECODE not in decoded(b, Step(b, **mask))


def test_two_rows(b):
    assert DECODE not in decoded(b, Step(b, rows=2))


def test_a_cache_that_is_no_whole_tiles(b):
    assert DECODE not in decoded(b, Step(b, length=50))


def test_a_position_that_the_program_computes(b):
    assert DECODE not in decoded(b, Step(b, computed=lambda name: b.op("ttnn.add", name, other=1)))


def test_a_position_of_another_shape(b):
    assert DECODE not in decoded(b, Step(b, position_shape=(1, 1)), position=torch.tensor([[5]]))


def test_a_query_that_something_else_reads(b):
    step = Step(b)
    assert DECODE not in decoded(b, step, b.op("ttnn.gelu", step.heads[0]))


def test_a_new_key_that_something_else_reads(b):
    step = Step(b)
    assert DECODE not in decoded(b, step, step.heads[1])


def test_a_cache_that_two_attentions_read(b):
    step = Step(b)
    assert DECODE not in decoded(b, step, step.attend(b.given("query", 1, 2, 1, 32)))


def test_a_cache_that_is_an_output(b):
    step = Step(b)
    assert DECODE not in decoded(b, step, step.written[0])
