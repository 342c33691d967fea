from typing import get_args

import pytest

from ttscribe.cli.report import BoardName
from ttscribe.compiler.boards import BOARDS
from ttscribe.reports.constants import CHIPS, CORE_RATE, HOST_LINK, N150, P150, PASSES, RELEASES, TILE_ROWS


def constants(chip):
    return [(name, getattr(chip, name)) for name in ("cores", "clock", "dram_peak")]


CONSTANTS = [
    *(
        pytest.param(constant, id=f"{board}: {name}")
        for board in ("n150", "p150")
        for name, constant in constants(CHIPS[board])
    ),
    *(pytest.param(constant, id=constant.unit) for constant in (CORE_RATE, TILE_ROWS, HOST_LINK)),
    *(pytest.param(constant, id=fidelity) for fidelity, constant in PASSES.items()),
]


@pytest.mark.parametrize("constant", CONSTANTS)
def test_a_constant_has_a_value_a_unit_and_a_source(constant):
    assert constant.value > 0
    assert constant.unit
    assert any(place in constant.source for place in ("tech_reports/", "docs.tenstorrent.com"))


def test_the_peaks_are_the_published_ones():
    """tech_reports/GEMM_FLOPS: about 1 TFLOP/s a core at HiFi4 on Wormhole, 1.35 on Blackhole."""
    assert N150.peak("HiFi4") / 64 == pytest.approx(1e12, rel=0.03)
    assert P150.peak("HiFi4") / 130 == pytest.approx(1.35e12, rel=0.03)


def test_a_chip_of_an_n300_is_an_n150():
    assert CHIPS["n300"] is CHIPS["n300x2"] is N150


def test_every_board_can_be_reported_for():
    assert set(CHIPS) == set(BOARDS) == set(get_args(BoardName))


def test_every_release_has_a_source_and_is_of_its_chip():
    assert all(release.source and release.rate > 0 < release.ttft_s for release in RELEASES)
    assert {release.chip for release in RELEASES} == {"n150", "p150"} < {*CHIPS}
