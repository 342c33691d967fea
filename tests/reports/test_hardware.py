import pytest

from ttscribe.compiler.program import DType
from ttscribe.reports.hardware import BOARDS, CORE_RATE, N150, N300, P150, PASSES, TILE_ROWS

CONSTANTS = [
    *(
        pytest.param(constant, id=f"{board.name}: {name}")
        for board in BOARDS.values()
        for name, constant in board.constants()
    ),
    *(pytest.param(constant, id=constant.unit) for constant in (CORE_RATE, TILE_ROWS)),
    *(pytest.param(constant, id=fidelity) for fidelity, constant in PASSES.items()),
]


@pytest.mark.parametrize("constant", CONSTANTS)
def test_a_constant_has_a_value_a_unit_and_a_source(constant):
    assert constant.value > 0
    assert constant.unit
    assert any(place in constant.source for place in ("tech_reports/", "docs.tenstorrent.com"))


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_nothing_measured_is_above_its_peak(board):
    assert board.dram_measured.value <= board.dram_peak.value
    assert all(rate.value <= board.peak(fidelity) for (_, fidelity), rate in board.products.items())


def test_the_peaks_are_the_published_ones():
    """tech_reports/GEMM_FLOPS: about 1 TFLOP/s a core at HiFi4 on Wormhole, 1.35 on Blackhole."""
    assert N150.peak("HiFi4") / 64 == pytest.approx(1e12, rel=0.03)
    assert P150.peak("HiFi4") / 130 == pytest.approx(1.35e12, rel=0.03)


def test_an_element_type_that_was_not_measured_goes_as_bfloat16():
    assert N150.measured(DType.BFLOAT8_B, "HiFi4") == N150.measured(DType.BFLOAT16, "HiFi4")
    assert N150.measured(DType.BFLOAT8_B, "HiFi2") > N150.measured(DType.BFLOAT16, "HiFi2")


def test_a_chip_of_an_n300_is_an_n150():
    assert (N300.peak("HiFi4"), N300.dram_peak.value) == (N150.peak("HiFi4"), N150.dram_peak.value)
