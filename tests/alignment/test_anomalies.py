"""What is decoded again without the silence around it, beside OpenAI's own loop over the same windows."""

from __future__ import annotations

import warnings
from itertools import zip_longest
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ttscribe.alignment import SilenceSkip
from ttscribe.alignment.anomalies import is_anomalous
from ttscribe.types import Word

FRAMES = 7000
"""Of 10 ms, of a recording."""

WINDOW = 30
"""Seconds."""


def word(start, duration=0.3, probability=0.9, text=" word"):
    return Word(start, start + duration, text, probability)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([word(0), word(0.3), word(0.6)], False),
        ([word(0, probability=0.1)], True),
        ([word(0, probability=0.1), word(0.3)], False),
        ([word(0, duration=3.0)], True),
        ([word(0, duration=0.05)], True),
        ([word(0, probability=0.1), word(1, text=".")], True),
        ([word(at, probability=0.1) for at in range(3)] + [word(at) for at in range(3, 20)], True),
        ([word(at) for at in range(8)] + [word(at, probability=0.1) for at in range(8, 20)], False),
    ],
)
def test_anomalous_is_what_has_improbable_very_short_or_very_long_words(words, expected):
    assert is_anomalous(words) is expected


@st.composite
def windows(draw):
    """Segments of a window's words: likely and unlikely, short and long, with pauses between."""
    segments, at = [], 0
    for _ in range(draw(st.integers(0, 4))):
        words = []
        at += draw(st.sampled_from([0, 0, 60, 150, 400]))
        for _ in range(draw(st.integers(1, 3))):
            duration = draw(st.sampled_from([3, 15, 40, 130]))
            if at + duration < WINDOW * 50:
                # No bound is met exactly, where the last bit of a sum would decide.
                start, end = (round(position / 50 + 0.003, 3) for position in (at, at + duration))
                words.append(Word(start, end, " word", draw(st.sampled_from([0.05, 0.9]))))
            at += duration
        if words:
            segments.append(words)
    return segments


@example(
    # Not silent before: the last word of the first window was 4 s ago.
    script=[[[Word(28.003, 29.003, " word", 0.9)]], [[Word(3.003, 3.063, " word", 0.05)]]],
    threshold=5.005,
)
@settings(max_examples=200, deadline=None)
@given(script=st.lists(windows(), max_size=6), threshold=st.sampled_from([0.505, 2.005, 5.005]))
def test_what_is_kept_and_where_windows_begin_is_openais(script, threshold):
    theirs = pytest.importorskip("whisper.transcribe", reason="openai-whisper is not installed: make env")
    assert kept_by_us(script, threshold) == kept_by_openai(theirs, script, threshold)


def said(script, window, seek):
    """The segments of a window that begins at frame ``seek``, as far as the recording goes."""
    segments = script[window] if window < len(script) else []
    return [words for words in segments if seek + 100 * words[-1].end < FRAMES]


def kept_by_us(script, threshold):
    """(frame where its window begins, start of its first word) of each segment that is kept."""
    skip, seek, window, kept = SilenceSkip(threshold), 0, 0, []
    while seek < FRAMES:
        segments, end = said(script, window, seek), min(seek + 100 * WINDOW, FRAMES)
        resumed = skip.resume(segments, seek / 100, end / 100, FRAMES / 100)
        count, time = (len(segments), end / 100) if resumed is None else resumed
        kept += [(seek, pytest.approx(seek / 100 + words[0].start)) for words in segments[:count]]
        seek, window = round(time * 100), window + 1
    return kept


def kept_by_openai(theirs, script, threshold):
    """The same of OpenAI's loop, whose model and aligner say what ``script`` does."""
    with warnings.catch_warnings():
        # Its vocabulary is read from a file that it does not close.
        warnings.simplefilter("ignore", ResourceWarning)
        ids = theirs.get_tokenizer(False)
    heard = []

    def features(audio, bins, padding):
        # Each frame says which one it is.
        return torch.arange(FRAMES + 100 * WINDOW).float().expand(bins, -1)

    def decode(segment, options):
        heard.append(said(script, len(heard), int(segment[0, 0])))
        start = ids.timestamp_begin
        text = [token for _ in heard[-1] for token in (start, ids.encode(" word")[0], start)]
        # A window without text is silence: its loop has a segment for it otherwise.
        no_speech = 0.0 if text else 1.0
        return theirs.DecodingResult(None, "en", tokens=text, avg_logprob=-no_speech, no_speech_prob=no_speech)

    def add_word_timestamps(*, segments, **_):
        for segment, words in zip_longest(segments, heard[-1], fillvalue=()):
            offset = segment["seek"] / 100
            timed = [(offset + word.start, offset + word.end, word.probability) for word in words]
            segment["words"] = [
                {"word": " word", "start": start, "end": end, "probability": likely} for start, end, likely in timed
            ]
            if timed:
                segment["start"], segment["end"] = timed[0][0], timed[-1][1]

    model = SimpleNamespace(
        device=torch.device("cpu"),
        dims=SimpleNamespace(n_mels=80, n_audio_ctx=1500, n_text_ctx=448),
        is_multilingual=False,
        num_languages=99,
        decode=decode,
    )
    with patch.multiple(theirs, log_mel_spectrogram=features, add_word_timestamps=add_word_timestamps):
        result = theirs.transcribe(
            model,
            np.zeros(1, np.float32),
            fp16=False,
            word_timestamps=True,
            compression_ratio_threshold=None,
            logprob_threshold=-0.5,
            temperature=0.0,
            hallucination_silence_threshold=threshold,
        )
    return [(each["seek"], each["start"]) for each in result["segments"] if each["words"]]
