"""Turns in sound that comes in pieces."""

import numpy as np
import pytest
import soxr

from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.errors import OptionError
from ttscribe.live import Began, Ended, Turns

RATE = 24_000
FRAME = 0.032


@pytest.fixture(scope="module")
def said(two_cities):
    """The start of a sentence of read English, with no pause in it, at 24 kHz."""
    return soxr.resample(load_audio(two_cities)[round(1.2 * SAMPLE_RATE) : round(2.9 * SAMPLE_RATE)], SAMPLE_RATE, RATE)


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def pcm(*parts):
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()


def heard(sound, step=4801, **settings):
    turns = Turns(**{"sample_rate": RATE, "threshold": 0.5, "padding": 0.3, "silence": 0.5, **settings})
    return [found for start in range(0, len(sound), step) for found in turns.hear(sound[start : start + step])]


def by_turn(found):
    """Of each turn when it began, its sound, and when it ended, if it did."""
    turns = []
    for each in found:
        if isinstance(each, Began):
            turns.append([each.time, b"", None])
        elif isinstance(each, Ended):
            turns[-1][2] = each.time
        else:
            turns[-1][1] += each
    return turns


def test_each_time_that_somebody_speaks_is_a_turn(said):
    sound = pcm(silence(1), said, silence(1.5), said, silence(1.5))
    length = len(said) / RATE
    first, second = by_turn(heard(sound))
    assert 0.6 < first[0] < 1.1
    assert 1 + length - 0.6 < first[2] < 1 + length + 0.2
    assert second[0] - first[0] == pytest.approx(length + 1.5, abs=0.1)
    assert second[2] is not None


def test_the_sound_of_a_turn_is_the_streams_from_its_beginning_to_the_silence_that_ended_it(said):
    sound = pcm(silence(1), said, silence(1.5))
    ((began, taken, ended),) = by_turn(heard(sound))
    start = round(began * RATE) * 2
    assert taken == sound[start : start + len(taken)]
    assert began + len(taken) / 2 / RATE == pytest.approx(ended + 0.5, abs=2 * FRAME)


def test_a_turn_has_the_padding_before_speech_that_was_asked_for(said):
    sound = pcm(silence(1), said, silence(1.5))
    (short,), (long,) = (by_turn(heard(sound, padding=padding)) for padding in (0.0, 0.8))
    assert short[0] - long[0] == pytest.approx(0.8, abs=0.01)
    assert long[1].endswith(short[1])


def test_padding_never_reaches_into_the_turn_before(said):
    sound = pcm(said, silence(0.6), said, silence(1.5))
    first, second = by_turn(heard(sound, padding=5.0))
    assert first[0] == 0
    assert second[0] * RATE * 2 == pytest.approx(len(first[1]), abs=2)
    assert first[1] + second[1] == sound[: len(first[1]) + len(second[1])]


def test_a_pause_that_is_shorter_than_the_silence_ends_nothing(said):
    sound = pcm(said, silence(0.6), said, silence(3))
    assert len(by_turn(heard(sound, silence=2.0))) == 1
    assert len(by_turn(heard(sound))) == 2


@pytest.mark.parametrize("step", [333, 100_000, 10_000_000])
def test_it_does_not_matter_how_the_sound_is_cut(said, step):
    sound = pcm(silence(1), said, silence(1.5), said, silence(1.5))
    assert by_turn(heard(sound, step)) == by_turn(heard(sound))


def test_a_turn_that_is_not_over_has_its_sound_so_far(said):
    ((_, taken, ended),) = by_turn(heard(pcm(silence(1), said)))
    assert ended is None
    assert len(taken) > 1.5 * RATE * 2


def test_of_silence_nothing_is_told_and_no_more_than_the_padding_kept():
    turns = Turns(sample_rate=RATE, threshold=0.5, padding=0.3, silence=0.5)
    assert [found for _ in range(20) for found in turns.hear(pcm(silence(1)))] == []
    assert len(turns._kept) < 2 * RATE * (0.3 + 0.2)


def test_a_threshold_that_no_probability_reaches_is_refused():
    with pytest.raises(OptionError, match="threshold"):
        Turns(sample_rate=RATE, threshold=1.0, padding=0.3, silence=0.5)
