"""Words that are too long, and words beside pauses."""

import numpy as np
import pytest

from ttscribe.alignment.corrections import (
    Timing,
    put_in_order,
    shorten_at_segment_ends,
    shorten_at_sentence_ends,
    typical_duration,
)
from ttscribe.alignment.pauses import Pauses


def timings(*given):
    return [Timing(text, start, end, 1.0) for text, start, end in given]


def times(words):
    return [(pytest.approx(word.start), pytest.approx(word.end)) for word in words]


def test_what_is_typical_is_the_median_but_not_of_nothing_and_at_most_07():
    assert typical_duration(timings((" a", 0, 0), (" b", 0, 0.2), (" c", 1, 1.4), (" d", 2, 2.3))) == pytest.approx(0.3)
    assert typical_duration(timings((" a", 0, 5))) == 0.7
    assert typical_duration([]) == 0


def test_a_pause_is_no_part_of_a_sentences_sign_or_of_the_word_after_it():
    found = timings((" end", 0, 0.3), (".", 0.3, 3.0), (" Next", 3.0, 5.0), (" one", 5.0, 9.0))
    shorten_at_sentence_ends(found, 0.3)
    assert times(found) == [(0, 0.3), (0.3, 0.9), (4.4, 5.0), (5.0, 9.0)]


def test_the_first_words_after_a_pause_are_no_longer_than_twice_the_typical():
    words = timings((" Then", 2.0, 6.0), (" they", 6.0, 6.2))
    shorten_at_segment_ends(words, 5.4, 6.2, silent_from=2.0, typical=0.3)
    assert times(words) == [(5.4, 6.0), (6.0, 6.2)]


def test_two_long_words_after_a_pause_share_what_is_left():
    words = timings((" Then", 2.0, 4.0), (" they", 4.0, 6.0))
    shorten_at_segment_ends(words, 2.0, 6.0, silent_from=0.0, typical=0.3)
    assert times(words) == [(4.8, 5.4), (5.4, 6.0)]


def test_the_models_own_times_of_a_segment_bound_its_words():
    words = timings((" Well", 1.0, 2.0), (" yes", 2.0, 4.0))
    shorten_at_segment_ends(words, 1.8, 2.6, silent_from=0.9, typical=0.4)
    assert times(words) == [(1.6, 2.0), (2.0, 2.6)]


def test_words_of_ordinary_length_stay():
    given = (" Well", 1.0, 1.4), (" yes", 1.4, 1.7)
    words = timings(*given)
    shorten_at_segment_ends(words, 1.1, 1.9, silent_from=0.0, typical=0.3)
    assert words == timings(*given)


def heard(*loud, seconds=4):
    """Log-mel in which somebody speaks between these times, and the rest is quiet."""
    mel = np.full((80, seconds * 100), -1.0, np.float32)
    for start, end in loud:
        mel[:, round(start * 100) : round(end * 100)] = 0.5
    return mel


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # The second begins in the pause, and the first ends before it begins.
        ([(" a", 0.2, 0.8), (" b", 1.2, 2.5)], [(0.5, 1.0), (1.8, 3.0)]),
        # Both meet a little after it, or a little before.
        ([(" a", 0.5, 1.9), (" b", 1.9, 3.0)], [(0.5, 1.0), (1.8, 3.0)]),
        ([(" a", 0.5, 0.9), (" b", 0.9, 3.0)], [(0.5, 1.0), (1.8, 3.0)]),
        # The first goes on for 0.3 s after attention has turned to the second.
        ([(" a", 0.5, 0.7), (" b", 0.7, 2.0), (" c", 2.0, 3.0)], [(0.5, 1.0), (1.8, 2.0), (2.0, 3.0)]),
        # A pause within a word is the word's own.
        ([(" a", 0.5, 3.0)], [(0.5, 3.0)]),
        # Sound between words without a pause is the first one's.
        ([(" a", 0.5, 1.0), (" b", 1.8, 2.0), (" c", 2.4, 3.0)], [(0.5, 1.0), (1.8, 2.4), (2.4, 3.0)]),
    ],
)
def test_words_end_where_pauses_begin_and_begin_where_they_end(given, expected):
    words = timings(*given)
    Pauses(heard((0.5, 1.0), (1.8, 3.0))).fit(words)
    assert times(words) == expected


def test_a_click_is_no_speech_and_a_short_silence_no_pause():
    words = timings((" a", 0.5, 1.3), (" b", 1.3, 2.6), (" c", 2.6, 3.0))
    # Closed lips from 1.27 s on, and a click of one frame at 2.2 s.
    Pauses(heard((0.5, 1.27), (1.34, 2.0), (2.2, 2.21), (2.5, 3.0))).fit(words)
    assert times(words) == [(0.5, 1.3), (1.3, 2.0), (2.5, 3.0)]


def test_sound_a_second_away_from_any_word_is_nobodys():
    words = timings((" a", 0.5, 0.8), (" b", 2.9, 3.0))
    Pauses(heard((0.5, 2.0), (2.9, 3.0))).fit(words)
    assert times(words) == [(0.5, 0.8), (2.9, 3.0)]


def test_without_pauses_nothing_is_cut():
    words = timings((" a", 0.0, 1.0), (" b", 1.0, 4.0))
    Pauses(heard((0, 4))).fit(words)
    assert times(words) == [(0, 1), (1, 4)]


def test_words_are_put_in_order_within_the_window():
    words = timings((" a", -0.1, 0.5), (" b", 0.4, 0.3), (" c", 0.6, 2.5), (" d", 2.4, 2.6))
    put_in_order(words, 2.0)
    assert times(words) == [(0, 0.5), (0.5, 0.5), (0.6, 2.0), (2.0, 2.0)]
