"""Spans of speech from probabilities, and where a recording is cut."""

from itertools import pairwise

import numpy as np
import pytest

from ttscribe import OptionError, VadOptions
from ttscribe.audio import load_audio
from ttscribe.vad import Span, Speech, speech_spans

FRAME = 512
FRAME_SECONDS = FRAME / 16_000


def drawn(seed, seconds=120):
    """Probabilities that stay high or low for a while, as those of speech do."""
    random = np.random.default_rng(seed)
    count = round(seconds / FRAME_SECONDS)
    runs = np.repeat(random.random(count) ** random.choice([0.2, 1, 3], count), random.geometric(0.05, count))[:count]
    return np.clip(runs + random.normal(0, 0.05, count), 0, 1).astype(np.float32)


OPTIONS = [
    VadOptions(),
    VadOptions(threshold=0.1),
    VadOptions(threshold=0.9, speech_pad_ms=30),
    VadOptions(min_silence_duration_ms=100, min_speech_duration_ms=250),
    VadOptions(min_silence_duration_ms=0, speech_pad_ms=0),
]


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
def test_spans_are_those_of_faster_whisper(options, monkeypatch):
    vad = pytest.importorskip("faster_whisper.vad", reason="faster-whisper is not installed: make env")
    found = 0
    for seed in range(10):
        probabilities = drawn(seed)
        length = len(probabilities) * FRAME - 100
        monkeypatch.setattr(vad, "get_vad_model", lambda heard=probabilities: lambda audio: heard)
        expected = vad.get_speech_timestamps(
            np.zeros(length, np.float32),
            threshold=options.threshold,
            min_speech_duration_ms=options.min_speech_duration_ms,
            min_silence_duration_ms=options.min_silence_duration_ms,
            speech_pad_ms=options.speech_pad_ms,
        )
        spans = Speech.of(probabilities.tolist(), length, options).spans
        assert [(round(span.start * 16_000), round(span.end * 16_000)) for span in spans] == [
            (each["start"], each["end"]) for each in expected
        ]
        found += len(spans)
    assert found > 10


def speech_of(*spans, quiet=(), until=None):
    """Somebody speaks in ``spans`` (seconds), but for ``quiet`` moments that are too short to end one."""
    count = round((until or spans[-1][1]) / FRAME_SECONDS)
    times = np.arange(count) * FRAME_SECONDS
    spoken = np.zeros(count)
    for start, end in spans:
        spoken[(times >= start) & (times < end)] = 0.9
    for start, end in quiet:
        spoken[(times >= start) & (times < end)] = 0.1
    return Speech.of(spoken.tolist(), count * FRAME, VadOptions(speech_pad_ms=0))


def test_seconds_of_speech_between_two_times():
    speech = speech_of((0, 9.6), (16, 32), (48, 64))
    assert speech.seconds(0, 64) == pytest.approx(9.6 + 16 + 16)
    assert speech.seconds(9.6, 16) == 0
    assert speech.seconds(8, 17) == pytest.approx(1.6 + 1)
    assert speech.seconds(20, 21) == pytest.approx(1)
    assert speech.seconds(64, 100) == 0


def test_short_pauses_stay_and_long_ones_part():
    speech = speech_of((0, 9.6), (12.8, 16), (32, 48))
    assert speech.stretches() == [Span(0, 16), Span(32, 48)]


def test_a_stretch_is_cut_in_the_longest_pause_of_the_second_half_of_a_window():
    speech = speech_of((0, 48), quiet=[(3.2, 4.8), (16, 16.32), (22.4, 23.04), (24, 24.32)])
    (first, second) = speech.windows(30)
    assert first.start == 0
    assert 22.4 <= first.end == second.start <= 23.04
    assert second.end == 48


def test_a_pause_at_a_cut_is_left_out():
    speech = speech_of((0, 20.8), (24, 48))
    assert speech.windows(30) == [Span(0, 20.8), Span(24, 48)]


@pytest.mark.parametrize("seed", range(10))
def test_no_speech_is_lost_and_no_window_is_too_long(seed):
    speech = Speech.of(drawn(seed, 600).tolist(), 600 * 16_000, VadOptions())
    windows = speech.windows(30)
    assert all(0 < window.end - window.start <= 30 for window in windows)
    assert all(one.end <= other.start for one, other in pairwise(windows))
    heard = sum(speech.seconds(window.start, window.end) for window in windows)
    assert heard == pytest.approx(sum(span.end - span.start for span in speech.spans))
    for one, other in pairwise(windows):
        if one.end == other.start:  # within speech: at its quietest place, or in a pause
            around = speech.probabilities[
                round((other.start - 15) / FRAME_SECONDS) : round(other.start / FRAME_SECONDS)
            ]
            assert speech.probabilities[int(one.end / FRAME_SECONDS)] <= max(speech.quiet, min(around))


def test_where_nobody_speaks_there_is_none():
    noise = np.random.default_rng(0).normal(0, 0.01, 160_000).astype(np.float32)
    assert speech_spans(noise) == speech_spans(noise / 1000) == []
    assert speech_spans(np.zeros(0, np.float32)) == []


def test_where_somebody_speaks_in_silence(beckett):
    samples = np.concatenate([np.zeros(20 * 16_000, np.float32), load_audio(beckett), np.zeros(160_000, np.float32)])
    spans = speech_spans(samples)
    assert 19 < spans[0].start < 20.5
    assert 28 < spans[-1].end < 31


@pytest.mark.parametrize("decibels", [-30, -50])
def test_quiet_speech_is_heard_as_speech_that_is_not(two_cities, decibels):
    samples = load_audio(two_cities)
    quiet, usual = (speech_spans(each) for each in (samples * np.float32(10 ** (decibels / 20)), samples))
    assert [(span.start, span.end) for span in quiet] == pytest.approx([(s.start, s.end) for s in usual], abs=0.1)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"threshold": 0}, "vad threshold must be between 0 and 1, not 0"),
        ({"threshold": 1.5}, "vad threshold must be between 0 and 1, not 1.5"),
        ({"min_silence_duration_ms": -1}, "vad min_silence_duration_ms must be 0 or more milliseconds, not -1"),
        ({"speech_pad_ms": None}, "vad speech_pad_ms must be 0 or more milliseconds, not None"),
    ],
)
def test_what_makes_no_sense_is_refused(options, problem):
    with pytest.raises(OptionError, match=problem):
        VadOptions(**options)
