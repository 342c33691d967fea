"""Of several windows' languages, the recording's."""

import pytest

from ttscribe.decoding import likeliest, spoken

SURE = {"fr": 0.9, "de": 0.06, "es": 0.04}
UNSURE = {"de": 0.45, "es": 0.3, "fr": 0.25}
OTHER = {"es": 0.4, "fr": 0.35, "de": 0.25}


def test_the_first_window_that_is_sure_is_enough():
    rest = iter([UNSURE, SURE, OTHER])
    assert spoken(rest, 0.5) == SURE
    assert next(rest) == OTHER


def test_where_none_is_sure_the_likeliest_over_all_of_them_counts():
    mean = spoken([UNSURE, OTHER], 0.5)
    assert mean == pytest.approx({"es": 0.35, "de": 0.35, "fr": 0.3})
    assert likeliest(spoken([UNSURE, OTHER, OTHER], 0.5)) == "es"
    assert likeliest(spoken([UNSURE], 0.5)) == "de"
