"""Streams of real speech, given as fast as they are taken, heard with real weights."""

from itertools import pairwise

import numpy as np
import pytest

from golden.clips import clips
from golden.errors import word_errors
from ttscribe import OptionError, VadOptions
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.live import Stream
from ttscribe.transcription import Transcriber
from ttscribe.types import Word

pytestmark = pytest.mark.xdist_group("transcription, tiny.en")


@pytest.fixture(scope="module")
def english(tiny_en):
    return Transcriber(tiny_en)


@pytest.fixture
def decoded(english, monkeypatch):
    """Seconds of each buffer that is decoded."""
    seconds = []
    transcribe = english.transcribe

    def counted(samples, **options):
        seconds.append(len(samples) / SAMPLE_RATE)
        return transcribe(samples, **options)

    monkeypatch.setattr(english, "transcribe", counted)
    return seconds


def paced(samples, seconds):
    """Pieces, and the seconds that were taken of them so far."""
    taken = [0.0]

    def pieces():
        for start in range(0, len(samples), round(seconds * SAMPLE_RATE)):
            piece = samples[start : start + round(seconds * SAMPLE_RATE)]
            taken[0] += len(piece) / SAMPLE_RATE
            yield piece

    return pieces(), taken


def test_words_are_committed_soon_after_they_are_said_and_never_change(english, beckett, decoded):
    samples = np.concatenate([load_audio(beckett), np.zeros(4 * SAMPLE_RATE, np.float32)])
    pieces, taken = paced(samples, 2.5)
    texts, delays = [], []
    for text in english.stream(pieces, min_chunk=2.5):
        texts.append(text)
        assert text.text == "".join(word.text for word in text.words)
        if text.committed:
            delays += [taken[0] - word.end for word in text.words]
    committed = [text for text in texts if text.committed]
    wrong, said = word_errors(clips()["beckett"].text, "".join(text.text for text in committed))
    assert wrong <= 2 < said
    assert all(one.end <= other.start for one, other in pairwise(committed))
    assert max(delays) < 7.5
    assert len(committed) > 1
    # What is pending is shown before, and nothing is decoded in the silence at the end.
    assert not texts[0].committed
    assert len(decoded) <= 6
    assert max(decoded) <= 12


def test_where_much_has_come_it_is_decoded_in_larger_steps(english, beckett, decoded):
    texts = list(english.stream([np.tile(load_audio(beckett), 3)]))
    committed = "".join(text.text for text in texts if text.committed)
    wrong, said = word_errors(" ".join([clips()["beckett"].text] * 3), committed)
    assert wrong <= 3 < said
    assert len(decoded) <= 4
    assert max(decoded) <= 28


@pytest.mark.parametrize("noise", [0.0, 0.003, 0.1])
def test_where_nobody_speaks_nothing_is_decoded(english, noise, decoded):
    samples = np.random.default_rng(0).normal(0, noise, 60 * SAMPLE_RATE).astype(np.float32)
    pieces, _ = paced(samples, 1.0)
    assert list(english.stream(pieces)) == []
    assert decoded == []


def test_memory_does_not_grow_with_a_stream(two_cities):
    """Three minutes without an end of a sentence, in which a word is said every half second."""
    samples = np.tile(load_audio(two_cities), 4)
    longest = 0

    def decode(buffer, before, speech):
        nonlocal longest
        longest = max(longest, len(buffer), len(before), len(live._agreement.committed))
        assert len(buffer) <= 28 * SAMPLE_RATE
        assert len(before) <= 200
        assert 0 < speech(0, len(buffer) / SAMPLE_RATE) <= len(buffer) / SAMPLE_RATE
        first, last = live._offset * 2 / SAMPLE_RATE, (live._offset + len(buffer)) * 2 / SAMPLE_RATE
        numbers = range(int(np.ceil(first - 1e-3)), int(last))
        offset = live._offset / SAMPLE_RATE
        return [Word(n / 2 - offset, n / 2 - offset + 0.5, f" {n}", 0.9) for n in numbers]

    live = Stream(decode, min_chunk=1.0, pause=1.0, vad=VadOptions())
    pieces, _ = paced(samples, 1.0)
    numbers = [int(word.text) for text in live.texts(pieces) if text.committed for word in text.words]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 340
    assert longest > 15 * SAMPLE_RATE
    assert len(live._agreement.committed) < 60


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"min_chunk": 0.01}, "min_chunk must be 0.1 to 10 s, not 0.01"),
        ({"pause": 20}, "pause must be 0.1 to 10 s, not 20"),
        ({"prefix": "It was"}, "prefix is for the start of a recording: a stream takes initial_prompt or hotwords"),
        ({"language": "de"}, "tiny.en knows English only, not German"),
        ({"input_format": "mp3"}, "input_format must be s16le or f32le, not 'mp3'"),
    ],
    ids=str,
)
def test_options_that_a_stream_cannot_honour_are_refused_at_once(english, options, problem):
    with pytest.raises(OptionError, match=problem):
        english.stream([], **options)
