"""Voice activity in ``transcribe``: silence is passed over, and times are those of the recording."""

import numpy as np
import pytest

from hearing import text
from ttscribe import DecodingOptions, OptionError
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.transcription import Transcriber

pytestmark = pytest.mark.xdist_group("transcription, tiny.en")


@pytest.fixture(scope="module")
def english(tiny_en):
    return Transcriber(tiny_en)


@pytest.fixture(scope="module")
def with_gap(beckett, two_cities):
    """10 s of speech, 40 s of faint noise, 8 s of speech; and when speech begins again, in seconds."""
    before = load_audio(beckett)
    gap = np.random.default_rng(0).normal(0, 0.003, 40 * SAMPLE_RATE).astype(np.float32)
    after = load_audio(two_cities)[: 8 * SAMPLE_RATE]
    return np.concatenate([before, gap, after]), (len(before) + len(gap)) / SAMPLE_RATE


def heard(english, samples, **options):
    segments, info = english.transcribe(samples, sample_rate=SAMPLE_RATE, **options)
    return list(segments), info


@pytest.mark.parametrize(("vad_filter", "windows"), [(True, 2), (None, 3)])
def test_after_a_long_gap_the_next_segment_starts_with_its_speech(english, with_gap, vad_filter, windows):
    """Also by default, where the gap is decoded too."""
    samples, again = with_gap
    told = []
    segments, info = heard(english, samples, vad_filter=vad_filter, progress=told.append)
    first = [segment for segment in segments if segment.end < again]
    assert text(first).startswith("Ever tried, ever failed.")
    assert max(segment.end for segment in first) <= 10.5
    later = segments[len(first)]
    assert later.start == pytest.approx(again, abs=1)
    assert later.text.startswith("It was the best of times")
    assert len(told) == windows
    assert told[-1].done == pytest.approx(info.duration, abs=0.5)


@pytest.mark.parametrize("options", [{"vad_filter": False}, {"options": DecodingOptions.plain()}])
def test_nobody_listens_where_that_is_not_wanted(english, with_gap, options, monkeypatch):
    monkeypatch.setattr("ttscribe.transcription.SpeechDetector", lambda: pytest.fail("somebody listens"))
    segments, _ = english.transcribe(with_gap[0], sample_rate=SAMPLE_RATE, **options)
    assert next(segments).text.startswith("Ever tried")


def test_where_nobody_speaks_nothing_is_decoded(english, monkeypatch):
    monkeypatch.setattr(english.runner, "encode", lambda mel: pytest.fail("a window was decoded"))
    segments, info = heard(english, np.zeros(40 * SAMPLE_RATE, np.float32), vad_filter=True)
    assert segments == []
    assert info.duration == 40


def test_speech_is_said_by_one_detector(english):
    with pytest.raises(OptionError, match="speech and vad_filter both say where somebody speaks: leave one of them"):
        heard(english, np.zeros(9, np.float32), vad_filter=True, speech=lambda start, end: 0.0)


def test_without_times_a_window_ends_in_a_pause(english, two_cities):
    """And not after 30 s, in the middle of a word."""
    segments, _ = english.transcribe(two_cities, vad_filter=True, timestamps=False)
    first = next(segments)
    assert 15 < first.end < 30
    assert first.text[-1] in ",."
