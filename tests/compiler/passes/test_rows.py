"""One row of tiles spread over a row of cores."""

import pytest

from compiler.building import EXACT, Building, assert_same, targets
from ttscribe.compiler.passes.memory import place_in_memory
from ttscribe.compiler.passes.rows import spread_rows
from ttscribe.compiler.program import DRAM, L1, Config, DType, Layout, Memory, Sharding

WIDTH = 512
HEADS = "ttnn.experimental.nlp_create_qkv_heads"


def shards(width, cores=8):
    return Memory("l1", Sharding("width", (32, width // cores), cores))


@pytest.fixture
def b():
    return Building()


def step(b, name, target, *operands, **attributes):
    b._source = name
    return b.op(target, *operands, **attributes)


def norm(b, name, x):
    return step(b, name, "ttnn.layer_norm", x, epsilon=1e-5)


def linear(b, name, x, columns=WIDTH, **attributes):
    weight = b.weight(f"{name}_weight", b.spec(x).shape[-1], columns)
    return step(
        b, name, "ttnn.linear", x, weight, keywords={"bias": b.weight(f"{name}_bias", 1, columns)}, **attributes
    )


def spread(b, *outputs):
    """The program with rows spread, which computes the same."""
    before = place_in_memory(b.program(*outputs), EXACT)
    after = spread_rows(before, EXACT)
    assert_same(before, after, b.params)
    return after


def places(program):
    """Where each result lives, by name."""
    return {value.name: value.spec.memory for op in program.ops for value in op.outputs}


def called(program, name):
    return next(op for op in program.ops if name in op.results)


def block(b, rows=1, width=WIDTH):
    """A row that is tiled, and a feed-forward layer with its norm around it."""
    tiled = step(
        b,
        "tiled",
        "ttnn.to_layout",
        b.cast(b.given("x", 1, 1, rows, width), layout=Layout.ROW_MAJOR),
        layout=Layout.TILE,
    )
    normed = norm(b, "normed", tiled)
    wide = linear(b, "wide", normed, 4 * width, activation="gelu", core_grid=Config("FullGrid", ()))
    return step(b, "sum", "ttnn.add", tiled, linear(b, "narrow", wide, width))


@pytest.mark.parametrize(("width", "cores"), [(512, 8), (384, 6), (1280, 8)])
def test_a_feed_forward_layer_stays_on_its_cores(b, width, cores):
    program = spread(b, norm(b, "last", block(b, width=width)))
    expected = dict.fromkeys(("tiled", "normed", "narrow", "sum"), shards(width, cores))
    assert expected | {"wide": shards(4 * width, cores)} == {
        name: place for name, place in places(program).items() if name in (*expected, "wide")
    }
    # The last norm is read outside: it reads the sum back.
    assert targets(program)[-2:] == ["to_memory_config", "layer_norm"]
    assert targets(program).count("to_memory_config") == 1


def test_weights_are_shared_out_to_the_banks_in_whole_tiles(b):
    program = spread(b, norm(b, "last", block(b)))
    banks = EXACT.board.dram_banks
    weights = {constant.source: constant.value.spec.memory for constant in program.constants}
    # 64 and 16 tiles of columns over 12 banks.
    assert weights["wide_weight"] == Memory("dram", Sharding("width", (512, 32 * 6), banks))
    assert weights["narrow_weight"] == Memory("dram", Sharding("width", (2048, 32 * 2), banks))
    assert weights["wide_bias"] == weights["narrow_bias"] == DRAM


def test_a_products_configuration_says_its_blocks_and_its_exact_activation(b):
    program = spread(b, norm(b, "last", block(b)))
    wide, narrow = called(program, "wide"), called(program, "narrow")
    assert wide.attribute("program_config").fields == (
        *(("in0_block_w", 2), ("per_core_M", 1), ("per_core_N", 8)),
        ("fused_activation", Config("UnaryWithParam", (("op", "GELU"), ("param", 0.0)))),
        ("num_workers_per_dram_bank", 1),
    )
    assert narrow.attribute("program_config")["fused_activation"] is None
    assert {name for op in (wide, narrow) for name, _ in op.attributes}.isdisjoint({"activation", "core_grid"})


def test_what_is_read_outside_is_whole(b):
    program = spread(b, block(b))
    assert places(program)["sum"] == DRAM
    # The sum reads copies of what its operands were, where they would have been.
    assert places(program)["narrow_whole"] == L1


def test_calls_that_cannot_read_shards_get_one_copy_back(b):
    normed = norm(b, "normed", b.given("x", 1, 1, 1, WIDTH))
    gelu, tanh = step(b, "gelu", "ttnn.gelu", normed), step(b, "tanh", "ttnn.tanh", normed)
    program = spread(b, gelu, tanh)
    assert targets(program) == ["to_memory_config", "layer_norm", "to_memory_config", "gelu", "tanh"]
    assert places(program)["normed_whole"] == L1


def test_joined_heads_that_only_a_product_reads_are_made_as_shards(b):
    sum_, heads = block(b), b.given("heads", 1, 1, 8, 64)
    joined = step(b, "joined", "ttnn.reshape", heads, shape=(1, 1, 1, WIDTH))
    after = step(b, "after", "ttnn.add", sum_, linear(b, "out", joined))
    assert places(spread(b, norm(b, "last", after)))["joined"] == shards(WIDTH)


def test_a_product_that_is_added_to_a_copied_row_is_spread(b):
    """The row is there already, as that of a prompt is: norm and sum share its copy."""
    x, heads = b.given("x", 1, 1, 32, WIDTH), b.given("heads", 1, 1, 32, WIDTH)
    queries, *_ = b.ops(HEADS, linear(b, "query", norm(b, "normed", x)), num_heads=8, num_kv_heads=0)
    after = step(b, "after", "ttnn.add", x, linear(b, "out", heads))
    program = spread(b, norm(b, "last", after), queries)
    assert places(program)["out"] == places(program)["after"] == shards(WIDTH)
    assert [op.operands for op in program.ops if op.target == "ttnn.to_memory_config"].count(("x",)) == 1


@pytest.mark.parametrize(("rows", "width"), [(33, WIDTH), (1, 224), (1, WIDTH + 16)])
def test_other_rows_stay_as_they_are(b, rows, width):
    before = place_in_memory(b.program(norm(b, "last", norm(b, "normed", b.given("x", 1, 1, rows, width)))), EXACT)
    assert spread_rows(before, EXACT) == before


@pytest.mark.parametrize("columns", [WIDTH + 32, 97])
def test_a_product_that_cannot_be_cut_for_its_rows_cores_reads_a_copy(b, columns):
    logits = linear(b, "logits", norm(b, "normed", b.given("x", 1, 1, 1, WIDTH)), columns)
    program = spread(b, step(b, "last", "ttnn.gelu", logits))
    assert targets(program) == ["to_memory_config", "layer_norm", "to_memory_config", "linear", "gelu"]
    assert called(program, "logits").attribute("program_config") is None


def test_a_view_of_a_spread_row_is_of_its_copy(b):
    seen = step(b, "seen", "ttnn.reshape", norm(b, "normed", b.given("x", 1, 1, 1, WIDTH)), shape=(1, WIDTH))
    program = spread(b, step(b, "last", "ttnn.gelu", seen))
    assert called(program, "seen").operands == ("normed_whole",)


def test_results_in_32_bits_are_whole(b):
    logits = linear(b, "logits", norm(b, "normed", b.given("x", 1, 1, 1, WIDTH)), dtype=DType.FLOAT32)
    assert places(spread(b, step(b, "last", "ttnn.gelu", logits)))["logits"] == L1
