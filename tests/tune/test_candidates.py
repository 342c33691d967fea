"""Candidates: what they share out, what they leave as it is, and that no bit of a result depends on them."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.operations.kernels import inner_block
from ttscribe.compiler.operations.operation import activation_to_fuse
from ttscribe.compiler.program import Config, DType, Memory, Sharding
from ttscribe.compiler.tuned import Configuration, configured
from ttscribe.compiler.verify import verify
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.tune.candidates import at_a_time_of, candidates
from tune.products import linear, program

N150 = BOARDS["n150"]


def cores_of(configuration):
    """Over how many cores rows and columns can go."""
    x, y = configuration.grid
    return {"blocks": (y, x), "transposed blocks": (x, y), "columns": (1, x * y), "rows": (x * y, 1)}[
        configuration.shared
    ]


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 1600),
    inner=st.integers(1, 50),
    columns=st.integers(1, 200),
    board=st.sampled_from(sorted(BOARDS)),
)
def test_every_candidate_covers_every_tile_and_fits_the_registers(rows, inner, columns, board):
    op, specs = linear(rows, 32 * inner, 32 * columns)
    found = candidates(op, specs, BOARDS[board])
    assert found
    assert len({str(each) for each in found}) == len(found)
    for each in found:
        over_rows, over_columns = cores_of(each)
        assert each.grid == BOARDS[board].grid
        assert over_rows * each.per_core_M >= -(-rows // 32)
        assert over_columns * each.per_core_N >= columns
        assert each.per_core_M % each.out_subblock_h == each.per_core_N % each.out_subblock_w == 0
        # Sums of 32 bits take twice the room that those of 16 do.
        assert each.out_subblock_h * each.out_subblock_w <= 4


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 1600), inner=st.integers(1, 50), columns=st.integers(1, 200))
def test_blocks_of_the_inner_dimension_are_those_of_the_call_as_it_is(rows, inner, columns):
    op, specs = linear(rows, 32 * inner, 32 * columns)
    block = inner_block(op, specs["x"].shape, specs["w"].shape)
    assert inner % block == 0
    assert {each.in0_block_w for each in candidates(op, specs, N150)} == {block}


def test_the_most_promising_leaves_the_busiest_core_the_fewest_tiles():
    """47 rows of tiles by 40 columns over 8 x 8 cores: 6 by 5, or 6 by 6 for a wider part in registers."""
    op, specs = linear(1500, 1280, 1280)
    found = candidates(op, specs, N150)
    tiles = [each.per_core_M * each.per_core_N for each in found]
    assert tiles == sorted(tiles)
    assert (tiles[0], found[0].shared) == (30, "blocks")
    at_a_time = {each.per_core_N: each.out_subblock_h * each.out_subblock_w for each in found}
    assert at_a_time[5] < at_a_time[6] == 4
    assert max(tiles) <= 1.5 * tiles[0]


def test_a_row_of_tiles_goes_over_all_cores():
    op, specs = linear(1, 384, 51866)
    found = candidates(op, specs, N150)
    assert (found[0].per_core_M, found[0].per_core_N) == (1, 26)
    assert {each.shared for each in found} == {"columns"}


def test_sums_of_16_bits_leave_room_for_twice_the_tiles():
    op, specs = linear(1500, 1280, 2560)
    wide = op.attribute("compute_kernel_config")
    narrow = Config(wide.kind, tuple({**dict(wide.fields), "fp32_dest_acc_en": False}.items()))
    found = candidates(op.with_attributes(compute_kernel_config=narrow), specs, N150)
    assert max(each.out_subblock_h * each.out_subblock_w for each in found) == 8


def test_parts_that_have_room_within_another_are_left_out():
    assert at_a_time_of(6, 4, 4) == [(1, 4), (2, 2), (3, 1)]
    assert at_a_time_of(6, 5, 4) == [(3, 1)]
    assert at_a_time_of(1, 1, 4) == [(1, 1)]
    # What goes into a shard is a row, or as wide as the shard.
    assert at_a_time_of(6, 4, 4, into_shard=True) == [(1, 4)]
    assert at_a_time_of(6, 2, 4, into_shard=True) == [(2, 2)]


def test_with_shards_only_what_is_in_registers_is_a_matter_of_choice():
    shards = Memory("l1", Sharding("block", (192, 160), 64))
    op, specs = linear(1500, 1280, 1280, memory=shards, memory_config=shards)
    assert candidates(op, specs, N150) == []
    present = Configuration("blocks", (8, 8), 5, 1, 1, 6, 4)
    found = candidates(configured(op, present.config(None)), specs, N150)
    assert found == [Configuration("blocks", (8, 8), 5, 1, 4, 6, 4)]


@pytest.mark.parametrize(
    "attributes",
    [
        {"transpose_b": True},
        {"core_grid": None},
        {"core_grid": None, "program_config": Config("MatmulMultiCoreReuseMultiCastDRAMShardedProgramConfig", ())},
    ],
    ids=["transposed", "left to TT-NN", "in the banks"],
)
def test_other_products_have_no_candidates(attributes):
    op, specs = linear(384, 384, 384, **attributes)
    assert candidates(op, specs, N150) == []


def test_a_configuration_is_no_candidate_for_itself():
    op, specs = linear(1500, 384, 384)
    first, *others = candidates(op, specs, N150)
    assert candidates(configured(op, first.config(None)), specs, N150) == others


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("weights", [DType.BFLOAT16, DType.BFLOAT8_B])
def test_no_bit_of_a_result_depends_on_the_choice(activation, weights):
    """As the kernels compute, with the same numbers of every size."""
    pytest.importorskip("numba")
    op, specs = linear(300, 256, 320, weights=weights, activation=activation)
    generator = torch.Generator().manual_seed(0)
    given = {name: torch.randn(spec.shape, generator=generator) for name, spec in specs.items()}
    results = []
    found = candidates(op, specs, N150)
    for each in (None, *found):
        called = op if each is None else configured(op, each.config(activation_to_fuse(op)))
        made = program(called, specs)
        verify(made)
        device = EmulatedDevice(as_kernels=True)
        (result,) = device.load(made, {})(*(device.to_device(given[name], spec) for name, spec in specs.items()))
        results.append(result.data)
    assert len(results) > 2
    assert results[0].abs().max() > 1
    assert all(torch.equal(result, results[0]) for result in results)


def test_narrower_blocks_would_change_bits():
    """Of sums in 16 bits, where blocks are added up in L1: what candidates leave as it is does matter."""
    pytest.importorskip("numba")
    op, specs = linear(64, 256, 64, weights=DType.BFLOAT16)
    wide = op.attribute("compute_kernel_config")
    narrow = Config(wide.kind, tuple({**dict(wide.fields), "fp32_dest_acc_en": False}.items()))
    op = op.with_attributes(compute_kernel_config=narrow)
    generator = torch.Generator().manual_seed(0)
    given = {name: torch.randn(spec.shape, generator=generator) for name, spec in specs.items()}
    (first, *_) = candidates(op, specs, N150)
    results = []
    for block in (first.in0_block_w, 1):
        config = first.config(None)
        other = replace(config, fields=tuple({**dict(config.fields), "in0_block_w": block}.items()))
        device = EmulatedDevice(as_kernels=True)
        made = device.load(program(configured(op, other), specs), {})
        (result,) = made(*(device.to_device(given[name], spec) for name, spec in specs.items()))
        results.append(result.data)
    assert not torch.equal(*results)
