"""Kernels' times beside published rates of models that they were not made from, and configured calls' own parts."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from cost_model.check import BERT, TOLERANCE, Checked, checked, rows, their_step
from reports.small_programs import linear
from ttscribe.compiler.program import Config
from ttscribe.reports.constants import N150, P150
from ttscribe.reports.kernel_times import RATES, kernel_times
from ttscribe.reports.pages import table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cost_model.md"
CHECKED = cache(checked)


def test_every_published_rate_is_within_a_quarter_of_its_range():
    assert len(CHECKED()) == 16
    assert [each.name for each in CHECKED() if abs(each.off) > TOLERANCE] == []


def test_the_middle_of_the_range_is_within_a_quarter_but_for_those_that_the_page_names():
    assert [each.name for each in CHECKED() if abs(each.middle_off) > TOLERANCE] == [
        "Llama-3.2-1B, performance, n150",
        "tt-metal's distil-large-v3, p150, traced, two queues",
    ]


def test_a_rate_outside_of_the_range_is_off_by_what_it_misses_of_the_nearer_end():
    slow, within, fast = (Checked("a model", "t/s/u", published, 50.0, 100.0) for published in (40.0, 60.0, 125.0))
    assert (slow.off, within.off, fast.off) == pytest.approx((0.25, 0.0, -0.2))
    assert within.middle_off == pytest.approx(0.25)


def test_the_page_has_the_table_that_is_made_now():
    made = list(table(("model", "published", "projected", "nearer end off", "middle off"), rows()))[1:]
    assert "\n".join(made) in PAGE.read_text(encoding="utf-8"), "bench/cost_model/check.py prints it"


def test_a_step_of_tt_metals_takes_less_of_the_card_than_was_published_where_the_host_picks_tokens():
    """105 t/s/u on an n150 are 9.5 ms, most of them the host's."""
    assert their_step(RATES[N150])[1] < 0.3 / 105


def test_a_faster_chip_takes_no_longer():
    for rates in (their_step, lambda rates: BERT.seconds(8, rates)):
        slower, faster = rates(RATES[N150]), rates(RATES[P150])
        assert faster[0] < slower[0]
        assert faster[1] <= slower[1]


def test_a_product_with_weights_in_shards_has_a_part_of_its_own():
    program = linear(1, 1280, 1280)
    config = Config("MatmulMultiCoreReuseMultiCastDRAMShardedProgramConfig", ())
    sharded = replace(
        program,
        body=tuple(op.with_attributes(program_config=config) if hasattr(op, "target") else op for op in program.body),
    )
    found = kernel_times(sharded, N150)[0]
    assert found.least_s == pytest.approx(2 * 1280 * 1280 / 238e9 + 5.4e-6)
    assert found.most_s == pytest.approx(2 * 1280 * 1280 / 200e9 + 8e-6)
