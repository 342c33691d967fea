"""Word times as callers see them: real weights, speech whose beginnings and ends are known."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from golden.clips import Absent, clips
from hearing import transcribed
from ttscribe import DecodingOptions, OptionError
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.devices.torch_runner import TorchRunner
from ttscribe.errors import StateGone
from ttscribe.transcription import Transcriber

ENGLISH = pytest.mark.xdist_group("transcription, tiny.en")
MULTILINGUAL = pytest.mark.xdist_group("transcription, base")


@pytest.fixture(scope="module")
def english(tiny_en):
    return Transcriber(tiny_en)


@pytest.fixture(scope="module")
def beckett_heard(english):
    """10 s of read English, with word times."""
    return transcribed(english, "beckett", word_timestamps=True)[0]


@pytest.fixture(scope="module")
def two_cities_heard(english):
    """44 s, two windows."""
    return transcribed(english, "two_cities", word_timestamps=True)[0]


def without_times(segments):
    return [replace(segment, start=0, end=0, words=()) for segment in segments]


@ENGLISH
def test_words_change_nothing_but_the_times(english, beckett_heard):
    plain = transcribed(english, "beckett")[0]
    assert without_times(beckett_heard) == without_times(plain)
    assert not any(segment.words for segment in plain)


@ENGLISH
def test_the_words_of_a_segment_are_its_text(two_cities_heard):
    for segment in two_cities_heard:
        assert "".join(word.text for word in segment.words).strip() == segment.text
        assert [word.text.strip() for word in segment.words] == segment.text.split()
        assert all(0 < word.probability <= 1 for word in segment.words)


@ENGLISH
def test_words_and_segments_follow_one_another(two_cities_heard):
    words = [word for segment in two_cities_heard for word in segment.words]
    assert words[-1].end > 40
    assert all(word.start <= word.end <= after.start for word, after in pairwise(words))
    assert all((each.start, each.end) == (each.words[0].start, each.words[-1].end) for each in two_cities_heard)


# Utterances with silences of so many seconds before them; each begins and ends with these words.
SPOKEN = (
    (0.5, "en-quick_brown_fox", " The", " dog."),
    (0.5, "beckett", " Ever", " better."),
    (2.0, "en-hello_world", " Hello", " world."),
)


def without_silence(samples):
    """From the first 20 ms that are within 30 dB of the loudest to the last."""
    power = np.square(samples[: len(samples) // 320 * 320].reshape(-1, 320)).mean(1)
    loud = np.flatnonzero(power > power.max() / 1000)
    return samples[loud[0] * 320 : (loud[-1] + 1) * 320]


@pytest.fixture(scope="module")
def known():
    """The samples of these utterances and silences, and from when to when each utterance lasts, in seconds."""
    pieces, times, now = [], [], 0.0
    for silence, name, _, _ in SPOKEN:
        try:
            utterance = without_silence(clips()[name].samples())
        except Absent as error:
            pytest.skip(str(error))
        pieces += [np.zeros(int(silence * SAMPLE_RATE), np.float32), utterance / np.abs(utterance).max() / 2]
        times.append((now + silence, now + silence + len(utterance) / SAMPLE_RATE))
        now = times[-1][1]
    return np.concatenate(pieces).astype(np.float32), times


@ENGLISH
def test_words_beside_silence_begin_and_end_with_the_speech(english, known):
    samples, times = known
    segments = english.transcribe(samples, sample_rate=SAMPLE_RATE, word_timestamps=True).segments
    words = [word for segment in segments for word in segment.words]
    for (start, end), (_, name, first, last) in zip(times, SPOKEN, strict=True):
        within = [word for word in words if word.end > start and word.start < end]
        assert (within[0].text, within[-1].text) == (first, last), name
        assert (within[0].start, within[-1].end) == pytest.approx((start, end), abs=0.06), name


@ENGLISH
def test_a_window_without_times_has_words_all_the_same(english):
    (segment,), _ = transcribed(english, "beckett", timestamps=False, word_timestamps=True)
    assert [word.text for word in segment.words][:4] == [" Ever", " tried,", " ever", " failed."]
    assert 8 < segment.words[-1].start < segment.end < 10


@ENGLISH
def test_nothing_heard_has_no_words(english):
    assert transcribed(english, "silence", word_timestamps=True)[0] == []


@MULTILINGUAL
def test_a_language_without_spaces_has_words_of_characters(base):
    segments, _ = transcribed(Transcriber(base), "zh-nihao_shijie", language="zh", word_timestamps=True)
    for segment in segments:
        assert "".join(word.text for word in segment.words).strip() == segment.text
        assert all(len(word.text) <= 3 for word in segment.words)
        assert len(segment.words) >= 2


class Forgetful(TorchRunner):
    """The CPU with a card's limit: reading a window's states on the host is refused once another took their place."""

    max_decodings = 1
    concurrent = False
    encodes, gone = 0, 0

    def encode(self, mel):
        self.encodes += 1
        self.latest = super().encode(mel)
        return self.latest

    def encoder_states(self, encoded):
        if self.encodes == 1:
            # Another recording's window, in between.
            self.encode(np.zeros((1, self.config.num_mel_bins, self.config.mel_frames), np.float32))
        if encoded is not self.latest:
            self.gone += 1
            raise StateGone("encoder states: gone")
        return super().encoder_states(encoded)


@ENGLISH
def test_states_that_are_gone_are_made_again(tiny_en, beckett_heard, monkeypatch):
    monkeypatch.setattr("ttscribe.transcription.open_checkpoint", lambda _device, opened, *_: Forgetful(opened.model))
    forgetful = Transcriber(tiny_en)
    assert transcribed(forgetful, "beckett", word_timestamps=True)[0] == beckett_heard
    assert (forgetful.runner.gone, forgetful.runner.encodes) == (1, 3)


@ENGLISH
def test_words_of_a_translation_are_warned_of(base, caplog):
    Transcriber(base).transcribe(
        np.zeros(SAMPLE_RATE), sample_rate=SAMPLE_RATE, language="fr", task="translate", word_timestamps=True
    )
    assert [record.getMessage() for record in caplog.records] == [
        "word times of a translation are rough: it says things in another order than the speaker"
    ]


@pytest.fixture(scope="module")
def then_noise(two_cities):
    """11 s of speech, then 22 s of noise, of the last 3 of which tiny.en without guards writes something."""
    noise = np.random.default_rng(0).normal(0, 0.01, 22 * SAMPLE_RATE).astype(np.float32)
    return np.concatenate([load_audio(two_cities)[: 11 * SAMPLE_RATE], noise])


@ENGLISH
def test_what_nobody_says_between_silences_is_decoded_again_without_them(english, then_noise):
    """What is skipped is what OpenAI's loop skips for the same words: alignment/test_anomalies.py."""

    def heard(threshold):
        segments, _ = english.transcribe(
            then_noise,
            sample_rate=SAMPLE_RATE,
            vad_filter=False,
            word_timestamps=True,
            hallucination_silence_threshold=threshold,
            options=DecodingOptions.plain(),
        )
        return list(segments)

    usual, skipping = heard(None), heard(1.0)
    assert usual[-1].start >= 30
    assert [each for each in skipping if each.start < 30] == [each for each in usual if each.start < 30]
    assert [each for each in skipping if each.start >= 30] != [each for each in usual if each.start >= 30]


@ENGLISH
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hallucination_silence_threshold": 2.0}, "ask for word_timestamps too"),
        ({"hallucination_silence_threshold": -1, "word_timestamps": True}, "must be 0 or more seconds, not -1"),
    ],
)
def test_a_silence_threshold_that_cannot_be_honoured_is_refused(english, beckett, options, reason):
    with pytest.raises(OptionError, match=reason):
        english.transcribe(beckett, **options)
