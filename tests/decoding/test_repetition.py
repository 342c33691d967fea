"""When a text repeats itself, and when it does so for longer than anybody speaks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscribe.decoding.repetition import compression_ratio, loop_start, similarity

BEGIN = 1000  # the id of the first timestamp

SAID = "It was the best of times, it was the worst of times. It was the age of wisdom, it was the age of foolishness."


def test_prose_compresses_less_than_what_is_said_again_and_again():
    assert compression_ratio(SAID) < 2.4 < compression_ratio(SAID[:52] * 8)
    assert compression_ratio("") == 0


def starts(tokens, *, timed=True):
    return loop_start(tokens, BEGIN, timed=timed)


@given(
    before=st.lists(st.integers(0, 99), max_size=40),
    unit=st.lists(st.integers(100, 900), min_size=1, max_size=20, unique=True),
    times=st.lists(st.integers(BEGIN, BEGIN + 1500), max_size=2),
)
def test_one_unit_of_a_loop_is_left(before, unit, times):
    kept = [BEGIN, *before, *unit]
    looping = [*kept, *(unit * 100)[:150], *times]
    assert starts(looping) == len(kept)
    assert starts(looping[: starts(looping)]) is None


def sentences(count, *, times):
    return [token for at in range(count) for token in ([BEGIN + at] * times + list(range(15)))]


def test_sentences_with_times_between_them_are_no_loop():
    assert starts(sentences(20, times=2)) is None


def test_a_clause_is_no_loop_however_long():
    assert starts([BEGIN, *range(300)]) is None
    assert starts([BEGIN, *(list(range(60)) * 2)]) is None


def test_where_no_times_are_to_be_expected_more_may_be_said():
    """Seven sentences of 15 tokens may be said in 30 s; thirty may not."""
    assert starts(sentences(7, times=0), timed=False) is None
    assert starts(sentences(7, times=0), timed=True) == 15
    assert starts(sentences(30, times=0), timed=False) == 15


@pytest.mark.parametrize(
    ("text", "other", "least", "most"),
    [
        ("Hold on, hold facts!", "hold on hold facts", 1, 1),
        ("我们 说话。我们说话", "我们说话我们说话", 1, 1),
        ("I'm not sure if I can do it. " * 4, "And now the news of the hour.", 0, 0.4),
        ("", "", 1, 1),
        ("text", "", 0, 0),
    ],
)
def test_texts_are_alike_by_their_letters(text, other, least, most):
    assert least <= similarity(text, other) <= most
