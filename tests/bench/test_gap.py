import pytest

from cost_model.gap import gaps, retyped, small_overhead
from reports.small_programs import MODEL, linear
from ttscribe.compiler.program import DType
from ttscribe.reports.constants import N150, Software
from ttscribe.reports.projection import project

SOFTWARE = Software(1e-4, 2.0, 0.5)


def seconds(program, software=SOFTWARE):
    projection = project({**MODEL, "encode": program}, N150, software)
    return {gap.cause: gap.seconds for gap in gaps(projection) if gap.program == "encode"}


def test_a_product_bound_by_compute_is_slow_and_below_peak():
    flops = 2 * 4096**3
    assert seconds(linear(4096, 4096, 4096)) == pytest.approx(
        {
            "overhead beyond a small product's": 1e-4 - 12.75e-6,
            "overhead of a small product": 12.75e-6,
            "slower than a large product": flops / 50.69e12,
            "a large product below peak": flops / 50.69e12 - flops / 65.536e12,
        }
    )


def test_a_product_bound_by_dram_has_causes_of_its_own():
    found = seconds(linear(1, 1280, 51872), Software(slowdown=2.0))
    assert set(found) == {"slower than the DRAM benchmark", "the DRAM benchmark below peak"}


def test_the_host_is_a_cause_beside_the_programs():
    projection = project(MODEL, N150, SOFTWARE)
    host, *others = gaps(projection)
    assert (host.figure, host.cause, host.program, host.seconds) == ("TTFT", "the host", "", 0.5)
    assert {gap.program for gap in others} == {*MODEL} - {"greedy_step"}


def test_a_small_overhead_is_never_more_than_what_there_was():
    assert small_overhead(SOFTWARE, N150) == Software(12.75e-6, 2.0, 0.5)
    assert small_overhead(Software(1e-6), N150) == Software(1e-6)


def test_only_what_is_named_is_retyped():
    program = retyped(linear(32, 64, 64), {"w"}, DType.BFLOAT8_B)
    assert [value.spec.dtype for value in program.inputs] == [DType.BFLOAT16, DType.BFLOAT8_B]
