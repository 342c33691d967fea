"""What the kernels add up to, for the programs of distil-large-v3 as they are compiled."""

from dataclasses import replace
from itertools import pairwise

import pytest

from reports.small_programs import linear
from sizes import DISTIL_LARGE_V3
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import WHISPER_POLICY, CompileSettings, policy
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.reports.constants import N150, P150
from ttscribe.reports.kernel_times import (
    _OTHERS,
    BETWEEN,
    HOST,
    RATES,
    _calls,
    added_up,
    first_token,
    kernel_times,
    part_of,
    real_time_factor,
    total,
)
from ttscribe.reports.schema import Batch
from ttscribe.reports.work import work_of
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

pytestmark = pytest.mark.xdist_group(DISTIL_LARGE_V3)


CHIPS = pytest.mark.parametrize("chip", [N150, P150], ids=["n150", "p150"])


@CHIPS
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_call_is_of_a_part_and_every_operation_counted(programs, name, chip):
    found = kernel_times(programs[name], chip)
    work = list(work_of(programs[name], chip))
    launched = sum(each.device_operations for each in work)
    assert sum(each.flops for each in found) == sum(each.flops for each in work)
    assert sum(each.bytes_dram for each in found) == sum(each.bytes_dram for each in work)
    assert sum(each.device_operations for each in found[:-1]) == found[-1].device_operations == launched
    assert all(0 <= each.least_s <= each.most_s and each.source for each in found)


@CHIPS
@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_is_faster_than_the_chip(programs, name, chip):
    """Its peak rates, which nothing of it reaches."""
    floor = sum(each.floor_s for each in work_of(programs[name], chip))
    assert total(kernel_times(programs[name], chip), [name])[0] > floor


@pytest.mark.parametrize("rates", RATES.values(), ids=["n150", "p150"])
def test_no_rate_is_above_the_chips_peak(rates):
    for speed in (rates.shards, rates.row, rates.wide_row, rates.caches):
        assert 0 < speed[0] < speed[1] < rates.chip.dram_peak.value / 1e9
    for fidelity, speed in rates.products.items():
        assert 0 < speed[0] < speed[1] < rates.chip.peak(fidelity) / 1e12


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_p150_is_faster_than_an_n150_at_best_and_never_slower(programs, name):
    slower, faster = (total(kernel_times(programs[name], chip), [name]) for chip in (N150, P150))
    assert faster[0] < slower[0]
    assert faster[1] < slower[1]


def test_a_product_of_one_row_takes_its_weights_time_or_its_chain_of_blocks():
    wide, narrow = (kernel_times(linear(1, 1280, width), N150)[0] for width in (51872, 1280))
    assert wide.least_s == pytest.approx(2 * 1280 * 51872 / 185e9)
    assert narrow.least_s == pytest.approx(40 * 0.6e-6)
    assert narrow.most_s == pytest.approx(2 * 1280 * 1280 / 130e9 + 5e-6)


def test_a_large_product_takes_the_published_rate():
    (found, between) = kernel_times(linear(1536, 1280, 1280), N150)
    flops = 2 * 1536 * 1280 * 1280
    assert found.least_s < flops / 50e12 < found.most_s
    assert (between.least_s, between.most_s) == BETWEEN


def test_what_nothing_is_known_of_is_no_time_of_zero():
    program = linear(1, 1280, 1280)
    unknown = replace(
        program, body=tuple(replace(op, target="ttnn.erf") if hasattr(op, "target") else op for op in program.body)
    )
    found, _ = kernel_times(unknown, N150)
    assert 0 < found.least_s < found.most_s
    assert found.source.startswith("assumed")


def test_figures_are_of_the_window_and_of_a_step_with_timestamps(programs):
    found = added_up(programs, N150)
    assert {each.program for each in found} == {"encode", "cross_kv", "prefill", "timed_step"}
    window = [each for each in found if each.program != "timed_step"]
    assert first_token(found)[0] == pytest.approx(HOST[0] + sum(each.least_s for each in window))
    assert first_token(found)[1] == pytest.approx(HOST[1] + sum(each.most_s for each in window))


def test_a_second_of_speech_takes_its_part_of_a_window_and_of_its_tokens(programs):
    found = added_up(programs, N150)
    for factor, first, step in zip(
        real_time_factor(found), first_token(found), total(found, ["timed_step"]), strict=True
    ):
        assert factor == pytest.approx((first + 102 * step) / 30)


@CHIPS
def test_ranges_are_at_most_twice_as_wide_as_their_lower_end(programs, chip):
    found = added_up(programs, chip)
    for least, most in (first_token(found), total(found, ["timed_step"])):
        assert most - least < 2 * least


def test_the_upper_end_of_an_n150s_ranges_is_less_than_twice_the_lower(programs):
    found = added_up(programs, N150)
    for least, most in (first_token(found), total(found, ["timed_step"])):
        assert most < 2 * least


@pytest.fixture(scope="module")
def steps(bring_up):
    """What several windows bring, by how many there are, the one window's own step among them."""
    report = bring_up[0]
    (least, most), (rtf_least, rtf_most) = total(report.kernels, ["timed_step"]), real_time_factor(report.kernels)
    launched = report.figures["device_operations_token"].value
    one = Batch(1, launched, least, most, rtf_least, rtf_most)
    return [one, *report.batches]


def test_more_windows_take_a_longer_step_and_each_a_shorter_share_of_it(steps):
    assert [batch.windows for batch in steps] == [1, 2, 8, 32]
    for fewer, more in pairwise(steps):
        for name in ("least_s", "most_s"):
            assert getattr(fewer, name) < getattr(more, name)
            assert getattr(fewer, name) / fewer.windows > getattr(more, name) / more.windows
        assert fewer.rtf_least > more.rtf_least
        assert fewer.rtf_most > more.rtf_most
        assert fewer.tokens_per_second < more.tokens_per_second


def test_the_encoder_of_every_window_counts(steps, bring_up):
    for batch in steps:
        assert 30 * batch.rtf_least > first_token(bring_up[0].kernels)[0]


def test_every_call_of_a_step_of_several_windows_is_of_a_part_and_takes_time(small_steps):
    for call in _calls(small_steps, RATES[N150]):
        assert part_of(call) is not _OTHERS
        assert not call.work.device_operations or part_of(call).seconds(call)[1] > 0


@pytest.fixture(scope="module")
def small_steps():
    graph = capture_program("timed_step", shape_only_model(SIZES["tiny.en"]), batch=8)
    return compile_graph(graph, CompileSettings(policy(WHISPER_POLICY))).program


def test_of_other_programs_than_whispers_nothing_is_added_up(programs):
    assert added_up({"encode": programs["encode"]}, N150) == ()
