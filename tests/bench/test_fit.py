"""Fits to figures that were made with known values."""

import pytest

from cost_model.fit import FORMS, fit
from reports.small_programs import MODEL
from ttscribe.reports.constants import CHIPS, Release, Software
from ttscribe.reports.projection import project

SUPPOSED = {
    "a": ("n150", False, Software(3e-4, 1.5, 0.01)),
    "b": ("n150", True, Software(1e-4, 1.5, 0.01)),
    "c": ("p150", True, Software(2e-5, 1.5, 0.01)),
}


def releases(supposed):
    """What would be published of such releases."""
    for name, (chip, traced, software) in supposed.items():
        made = project(MODEL, CHIPS[chip], software)
        yield Release(name, chip, traced, made.ttft_s.estimate, made.rate.estimate, "made up", Software())


def test_known_values_are_found_again():
    found = fit(MODEL, releases=tuple(releases(SUPPOSED)))
    for name, (_, _, software) in SUPPOSED.items():
        fitted = found.software[name]
        assert (fitted.overhead_s, fitted.slowdown, fitted.host_s) == pytest.approx(
            (software.overhead_s, software.slowdown, software.host_s), rel=1e-6
        )
    assert found.worst == pytest.approx(0, abs=1e-9)


def test_a_figure_that_is_held_out_is_projected_from_the_others_where_they_tell_enough():
    """Without the figures of c, those of one board do not tell the slowdown from the host's time."""
    found = fit(MODEL, releases=tuple(releases(SUPPOSED)))
    for residual in found.residuals:
        if residual.release.name == "c":
            assert residual.held_out_s is None
        else:
            assert residual.held_out_s == pytest.approx(residual.published_s, rel=1e-6)


def test_faster_than_the_rates_is_left_over_and_not_fitted():
    faster = {"a": ("n150", True, Software(0.0, 0.5, 0.0))}
    found = fit(MODEL, releases=tuple(releases(faster)))
    assert found.software["a"] == Software()
    assert all(residual.relative == pytest.approx(1) for residual in found.residuals)


def test_releases_may_share_an_overhead():
    found = fit(MODEL, FORMS[0], tuple(releases(SUPPOSED)))
    assert found.software["b"] == found.software["c"] != found.software["a"]
    assert found.software["a"].host_s == 0
    assert found.worst > 0.1
