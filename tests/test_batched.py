"""Windows of a recording decoded together, on real speech."""

from itertools import pairwise

import numpy as np
import pytest

from golden.clips import clips
from golden.errors import word_errors
from hearing import audio, text
from ttscribe import OptionError
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.transcription import Transcriber

pytestmark = pytest.mark.xdist_group("transcription, tiny.en")


@pytest.fixture(scope="module")
def english(tiny_en):
    return Transcriber(tiny_en)


@pytest.fixture(scope="module")
def three():
    """Three utterances with 8 s of faint noise between them."""
    noise = np.random.default_rng(0).normal(0, 0.001, 8 * SAMPLE_RATE).astype(np.float32)
    beckett, fox = (load_audio(clip.pop("audio"), **clip) for clip in map(audio, ("beckett", "en-quick_brown_fox")))
    return np.concatenate([beckett, noise, fox, noise, fox])


@pytest.fixture
def widths(english, monkeypatch):
    """How many windows each call of the encoder had."""
    seen = []
    encode = english.runner.encode
    monkeypatch.setattr(english.runner, "encode", lambda mel: seen.append(len(mel)) or encode(mel))
    return seen


def heard(english, samples, **options):
    segments, _ = english.transcribe(samples, sample_rate=SAMPLE_RATE, **options)
    return list(segments)


@pytest.mark.parametrize("options", [{}, {"beam_size": 2}], ids=["greedy", "beams"])
def test_a_batch_gives_the_text_and_the_times_of_one_window_after_the_other(english, three, widths, options):
    one_by_one = heard(english, three, vad_filter=True, **options)
    assert widths == [1, 1, 1]
    together = heard(english, three, batch_size=4, **options)
    assert widths[3:] == [3]
    assert [(each.start, each.end, each.text) for each in together] == [
        (each.start, each.end, each.text) for each in one_by_one
    ]
    assert text(together).lower().count("quick brown fox") == 2
    assert [each.avg_logprob for each in together] == pytest.approx([each.avg_logprob for each in one_by_one], abs=1e-3)


@pytest.mark.parametrize(
    ("options", "together", "why"),
    [
        ({"beam_size": 2, "patience": 0.5}, 2, "each has 2 beams"),
        ({"temperature": (0.2,), "best_of": 1}, 1, "the first temperature is above 0"),
    ],
    ids=str,
)
def test_where_the_device_has_too_few_rows_for_a_batch_it_says_so(
    english, three, widths, monkeypatch, caplog, options, together, why
):
    monkeypatch.setattr(english.runner, "max_batch", 5)
    assert heard(english, three, batch_size=3, **options)
    assert max(widths) == together
    assert caplog.messages == [f"batch_size 3: windows decoded at a time are {together}, for {why}"]


def test_what_only_the_first_window_is_told_is_told_to_no_other(english, three, widths):
    segments = heard(english, three, batch_size=4, prefix="Ever dyed", temperature=0.0)
    assert widths == [1, 2]
    assert [segment.text.startswith("Ever dyed") for segment in segments] == [True, *[False] * (len(segments) - 1)]


def test_long_speech_is_cut_in_its_pauses_and_nothing_is_lost(english, two_cities):
    segments, info = english.transcribe(two_cities, batch_size=8)
    segments = list(segments)
    wrong, said = word_errors(clips()["two_cities"].text, text(segments))
    assert wrong / said < 0.05
    assert all(one.end <= other.start for one, other in pairwise(segments))
    assert segments[-1].end <= info.duration


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1, not 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number from 1, not 2.5"),
        ({"batch_size": 33}, "cpu decodes 32 windows at a time: batch_size may be at most 32, not 33"),
        ({"batch_size": 2, "vad_filter": False}, "batch_size above 1 cuts a recording where Silero VAD hears pauses"),
        (
            {"batch_size": 2, "condition_on_previous_text": True},
            "condition_on_previous_text needs one window after the",
        ),
        ({"max_duration": 0}, "max_duration must be above 0 s, not 0"),
    ],
    ids=str,
)
def test_what_a_batch_cannot_honour_is_refused(english, three, options, problem):
    with pytest.raises(OptionError, match=problem):
        heard(english, three, **options)
