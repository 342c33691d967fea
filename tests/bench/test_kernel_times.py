"""What the kernels add up to, for the programs of distil-large-v3 as they are compiled."""

from dataclasses import replace

import pytest

from reports.small_programs import linear
from sizes import DISTIL_LARGE_V3
from ttscribe.compiler.whisper_programs import PROGRAMS
from ttscribe.reports.constants import N150, P150, Software
from ttscribe.reports.kernel_times import BETWEEN, HOST, added_up, first_token, kernel_times, total
from ttscribe.reports.projection import operation_times

pytestmark = pytest.mark.xdist_group(DISTIL_LARGE_V3)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_call_is_of_a_part_and_every_operation_counted(programs, name):
    found = kernel_times(programs[name])
    launched = sum(each.device_operations for each in operation_times(programs[name], N150, Software()))
    assert sum(each.device_operations for each in found[:-1]) == found[-1].device_operations == launched
    assert all(0 <= each.least_s <= each.most_s and each.source for each in found)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_is_faster_than_the_chip(programs, name):
    """At most at its peak rates, which nothing of it reaches."""
    floor = sum(each.floor_s for each in operation_times(programs[name], N150, Software()))
    assert total(kernel_times(programs[name]), [name])[1] > floor


def test_a_product_of_one_row_takes_its_weights_time_or_its_chain_of_blocks():
    wide, narrow = kernel_times(linear(1, 1280, 51872))[0], kernel_times(linear(1, 1280, 1280))[0]
    assert wide.least_s == pytest.approx(2 * 1280 * 51872 / 185e9)
    assert narrow.least_s == pytest.approx(40 * 0.6e-6)
    assert narrow.most_s == pytest.approx(2 * 1280 * 1280 / 130e9 + 5e-6)


def test_a_large_product_takes_the_published_rate():
    (found, between) = kernel_times(linear(1536, 1280, 1280))
    flops = 2 * 1536 * 1280 * 1280
    assert found.least_s < flops / 50e12 < found.most_s
    assert (between.least_s, between.most_s) == BETWEEN


def test_what_nothing_is_known_of_is_no_time_of_zero():
    program = linear(1, 1280, 1280)
    unknown = replace(
        program, body=tuple(replace(op, target="ttnn.erf") if hasattr(op, "target") else op for op in program.body)
    )
    found, _ = kernel_times(unknown)
    assert 0 < found.least_s < found.most_s
    assert found.source.startswith("assumed")


def test_figures_are_of_the_window_and_of_a_step_with_timestamps(programs):
    found = added_up(programs, N150)
    assert {each.program for each in found} == {"encode", "cross_kv", "prefill", "timed_step"}
    window = [each for each in found if each.program != "timed_step"]
    assert first_token(found)[0] == pytest.approx(HOST[0] + sum(each.least_s for each in window))
    assert first_token(found)[1] == pytest.approx(HOST[1] + sum(each.most_s for each in window))


def test_ranges_are_at_most_twice_as_wide_as_their_lower_end(programs):
    found = added_up(programs, N150)
    for least, most in (first_token(found), total(found, ["timed_step"])):
        assert most < 2 * least


def test_of_other_chips_and_other_programs_nothing_is_added_up(programs):
    assert added_up(programs, P150) == added_up({"encode": programs["encode"]}, N150) == ()
