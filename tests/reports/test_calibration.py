"""Fits to figures that were made with known values."""

import pytest

from reports.small_programs import MODEL
from ttscribe.reports.calibration import FORMS, Build, calibrate
from ttscribe.reports.hardware import BOARDS
from ttscribe.reports.projection import Software, project

SUPPOSED = {
    "a": ("n150", False, Software(3e-4, 1.5, 0.01)),
    "b": ("n150", True, Software(1e-4, 1.5, 0.01)),
    "c": ("p150", True, Software(2e-5, 1.5, 0.01)),
}


def builds(supposed):
    """What would be published of such builds."""
    for name, (board, traced, software) in supposed.items():
        made = project(MODEL, BOARDS[board], software)
        yield Build(name, board, traced, made.ttft_s.estimate, made.rate.estimate, "made up")


def test_known_values_are_found_again():
    fit = calibrate(MODEL, builds=tuple(builds(SUPPOSED)))
    for name, (_, _, software) in SUPPOSED.items():
        found = fit.software[name]
        assert (found.overhead_s, found.slowdown, found.host_s) == pytest.approx(
            (software.overhead_s, software.slowdown, software.host_s), rel=1e-6
        )
    assert fit.worst == pytest.approx(0, abs=1e-9)


def test_a_figure_that_is_held_out_is_projected_from_the_others_where_they_tell_enough():
    """Without the figures of c, those of one board do not tell the slowdown from the host's time."""
    fit = calibrate(MODEL, builds=tuple(builds(SUPPOSED)))
    for residual in fit.residuals:
        if residual.build.name == "c":
            assert residual.held_out_s is None
        else:
            assert residual.held_out_s == pytest.approx(residual.published_s, rel=1e-6)


def test_faster_than_the_rates_is_left_over_and_not_fitted():
    faster = {"a": ("n150", True, Software(0.0, 0.5, 0.0))}
    fit = calibrate(MODEL, builds=tuple(builds(faster)))
    assert fit.software["a"] == Software()
    assert all(residual.relative == pytest.approx(1) for residual in fit.residuals)


def test_builds_may_share_an_overhead():
    fit = calibrate(MODEL, FORMS[0], tuple(builds(SUPPOSED)))
    assert fit.software["b"] == fit.software["c"] != fit.software["a"]
    assert fit.software["a"].host_s == 0
    assert fit.worst > 0.1
