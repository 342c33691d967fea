"""What the kernels add up to, for the programs of distil-large-v3 as they are compiled."""

from dataclasses import replace

import pytest

from cost_model.bottom_up import BETWEEN, bounds, total
from reports.small_programs import linear
from ttscribe.compiler.whisper_programs import PROGRAMS
from ttscribe.reports.constants import N150, Software
from ttscribe.reports.projection import operation_times

pytestmark = pytest.mark.xdist_group("projected distil-large-v3")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_call_is_of_a_part_and_every_operation_counted(programs, name):
    found = bounds(programs[name])
    launched = sum(each.device_operations for each in operation_times(programs[name], N150, Software()))
    assert sum(each.device_operations for each in found[:-1]) == found[-1].device_operations == launched
    assert all(0 <= each.low <= each.high and each.source for each in found)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_is_faster_than_the_chip(programs, name):
    """At most at its peak rates, which nothing of it reaches."""
    floor = sum(each.floor_s for each in operation_times(programs[name], N150, Software()))
    _, high = total(programs, [name])
    assert high > floor


def test_a_product_of_one_row_takes_its_weights_time_or_its_chain_of_blocks():
    wide, narrow = bounds(linear(1, 1280, 51872))[0], bounds(linear(1, 1280, 1280))[0]
    assert wide.low == pytest.approx(2 * 1280 * 51872 / 185e9)
    assert narrow.low == pytest.approx(40 * 0.6e-6)
    assert narrow.high == pytest.approx(2 * 1280 * 1280 / 130e9 + 5e-6)


def test_a_large_product_takes_the_published_rate():
    (found, between) = bounds(linear(1536, 1280, 1280))
    flops = 2 * 1536 * 1280 * 1280
    assert found.low < flops / 50e12 < found.high
    assert (between.low, between.high) == BETWEEN


def test_what_nothing_is_known_of_is_no_time_of_zero():
    program = linear(1, 1280, 1280)
    unknown = replace(
        program, body=tuple(replace(op, target="ttnn.erf") if hasattr(op, "target") else op for op in program.body)
    )
    with pytest.raises(LookupError):
        bounds(unknown)


def test_sums_are_of_all_programs(programs):
    low, high = total(programs, ["cross_kv", "prefill"])
    parts = [*bounds(programs["cross_kv"]), *bounds(programs["prefill"])]
    assert (low, high) == pytest.approx((sum(each.low for each in parts), sum(each.high for each in parts)))
