"""Where values live, how precise they are, and when they are freed."""

import pytest

from compiler.building import EXACT, Building, assert_same
from ttscribe.compiler.passes.memory import choose_attention_chunks, free_after_last_use, place_in_memory
from ttscribe.compiler.passes.precision import choose_precision
from ttscribe.compiler.program import DRAM, L1, DType, Layout
from ttscribe.compiler.settings import POLICIES, CompileSettings, policy
from ttscribe.errors import OptionError


@pytest.fixture
def b():
    return Building()


def freed(program):
    """For each call that is followed by frees, its name and the values freed."""
    found, last = {}, None
    for op in free_after_last_use(program, EXACT).ops:
        if op.target == "ttnn.deallocate":
            found.setdefault(last, []).extend(op.operands)
        else:
            last = op.outputs[0].name
    return found


def step(b, name, target, *operands, **attributes):
    b._source = name
    return b.op(target, *operands, **attributes)


def test_values_are_freed_after_their_last_use(b):
    x = b.given("x", 5, 64)
    first = step(b, "first", "ttnn.gelu", x)
    second = step(b, "second", "ttnn.tanh", first)
    third = step(b, "third", "ttnn.add", first, second)
    assert freed(b.program(step(b, "last", "ttnn.add", third, x))) == {"third": ["first", "second"], "last": ["third"]}


def test_what_has_a_view_lives_as_long_as_the_view(b):
    first = step(b, "first", "ttnn.gelu", b.given("x", 1, 32, 64))
    view = step(b, "view", "ttnn.reshape", first, shape=(1, 1, 32, 64))
    assert freed(b.program(step(b, "last", "ttnn.tanh", view))) == {"last": ["first"]}


@pytest.mark.parametrize(
    ("shape", "view", "layout"),
    [((2, 32, 64), (1, 64, 64), Layout.TILE), ((7,), (1, 7), Layout.TILE), ((6, 8), (2, 3, 8), Layout.ROW_MAJOR)],
)
def test_views_are_what_ttnn_gives_without_a_call(b, shape, view, layout):
    first = step(b, "first", "ttnn.gelu", b.given("x", *shape))
    rows = b.cast(first, layout=layout)
    seen = step(b, "view", "ttnn.reshape", rows, shape=view)
    assert freed(b.program(step(b, "last", "ttnn.tanh", seen)))["last"] == [rows]


def test_a_reshape_that_moves_elements_makes_a_tensor_of_its_own(b):
    first = step(b, "first", "ttnn.gelu", b.given("x", 6, 64))
    moved = step(b, "moved", "ttnn.reshape", first, shape=(2, 3, 64))
    assert freed(b.program(step(b, "last", "ttnn.tanh", moved))) == {"moved": ["first"], "last": ["moved"]}


def test_inputs_constants_and_outputs_are_not_freed(b):
    first = step(b, "first", "ttnn.gelu", b.given("x", 1, 5, 64))
    seen = step(b, "seen", "ttnn.reshape", first, shape=(1, 1, 5, 64))
    assert freed(b.program(seen, step(b, "last", "ttnn.add", seen, b.weight("w", 64)))) == {}


def test_what_nothing_reads_is_freed_at_once(b):
    x = step(b, "rows", "ttnn.gelu", b.given("x", 1, 1, 5, 64))
    b._source = "cut"
    query, key, value = b.ops("ttnn.experimental.nlp_create_qkv_heads", x, num_heads=2, num_kv_heads=0)
    assert freed(b.program(query)) == {query: [x, key, value]}


def placed(b, *outputs):
    before = b.program(*outputs)
    after = place_in_memory(before, EXACT)
    assert_same(before, after, b.params)
    return {op.output.name: op.output.spec.memory for op in after.ops}


def test_products_live_in_l1_until_somebody_outside_reads_them(b):
    inner = step(b, "inner", "ttnn.linear", b.given("x", 5, 64), b.weight("w", 64, 64))
    outer = step(b, "outer", "ttnn.linear", inner, b.weight("v", 64, 64))
    assert placed(b, outer) == {"inner": L1, "outer": DRAM}


def test_an_output_may_be_a_view_of_a_product(b):
    inner = step(b, "inner", "ttnn.linear", b.given("x", 5, 64), b.weight("w", 64, 64))
    assert set(placed(b, step(b, "seen", "ttnn.reshape", inner, shape=(1, 5, 64))).values()) == {DRAM}


def test_large_products_live_in_dram(b):
    rows = EXACT.board.results_in_l1 // (2 * 64) + 1
    inner = step(b, "inner", "ttnn.linear", b.given("x", rows, 64), b.weight("w", 64, 64))
    assert placed(b, step(b, "outer", "ttnn.gelu", inner))["inner"] == DRAM


@pytest.mark.parametrize(
    ("queries", "keys", "chunks"),
    [(1, 1500, (32, 256)), (1500, 1500, (256, 256)), (50, 70, (64, 96)), (256, 256, (256, 256))],
)
def test_attention_takes_chunks_of_whole_tiles(b, queries, keys, chunks):
    query, key, value = b.given("q", 1, 1, queries, 32), b.given("k", 1, 1, keys, 32), b.given("v", 1, 1, keys, 32)
    made = b.op("ttnn.transformer.scaled_dot_product_attention", query, key, value, is_causal=False, scale=0.25)
    (op,) = choose_attention_chunks(b.program(made), EXACT).ops
    config = op.attribute("program_config")
    assert (config["q_chunk_size"], config["k_chunk_size"]) == chunks


def precise(b, name, *outputs):
    before = b.program(*outputs)
    after = choose_precision(before, CompileSettings(policy(name)))
    assert_same(before, after, b.params)
    return after


@pytest.mark.parametrize("name", POLICIES)
def test_weights_take_the_policys_element_type(b, name):
    weight, bias = b.weight("w", 64, 64), b.weight("row", 1, 64)
    made = b.op("ttnn.linear", b.given("x", 5, 64), weight, keywords={"bias": bias})
    dtypes = {constant.source: constant.value.spec.dtype for constant in precise(b, name, made).constants}
    assert dtypes == {"w": POLICIES[name].weights, "row": DType.BFLOAT16}


def test_biases_of_all_products_but_results_have_the_bits_of_the_sum(b):
    first = b.op("ttnn.linear", b.given("x", 5, 64), b.weight("w", 64, 64), keywords={"bias": b.weight("row", 1, 64)})
    normed = b.op("ttnn.layer_norm", first, keywords={"bias": b.weight("shift", 1, 64)}, epsilon=1e-5)
    logits = b.op("ttnn.linear", normed, b.weight("v", 64, 64), keywords={"bias": b.weight("suppress", 1, 64)})
    dtypes = {each.source: each.value.spec.dtype for each in precise(b, "bf16-hifi3", logits).constants}
    assert dtypes["row"] is DType.FLOAT32
    assert {dtypes["shift"], dtypes["suppress"]} == {DType.BFLOAT16}


@pytest.mark.parametrize("other", ["ttnn.add", "ttnn.matmul", "ttnn.concat"])
def test_a_weight_that_something_else_reads_keeps_its_element_type(b, other):
    x, weight = b.given("x", 64, 64), b.weight("w", 64, 64)
    attributes = {"dim": 0} if other == "ttnn.concat" else {}
    made = precise(b, "bfp8-hifi2", b.op("ttnn.linear", x, weight), b.op(other, x, weight, **attributes))
    assert made.constants[0].value.spec.dtype is DType.BFLOAT16


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_sums_and_extremes_are_configured(b, name):
    (op,) = precise(b, "bf16-hifi2", b.op(f"ttnn.{name}", b.given("x", 5, 64), dim=1)).ops
    assert op.attribute("compute_kernel_config")["math_fidelity"] == "HiFi3"


def test_an_unknown_policy_names_those_that_there_are():
    with pytest.raises(OptionError, match="bf16-hifi3, bf16-hifi2"):
        policy("half")
