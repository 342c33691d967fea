"""A long recording in parts, which workers share."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscribe import OptionError, Transcriber, VadOptions
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.vad import Speech

pytestmark = pytest.mark.xdist_group("transcription, tiny.en")


@pytest.fixture(scope="module")
def transcriber(tiny_en):
    return Transcriber(tiny_en)


@pytest.fixture(scope="module")
def apart(two_cities):
    """Four times 8 s of read English, and 7 s of silence between them."""
    samples = load_audio(two_cities)
    pieces = [samples[at * 8 * SAMPLE_RATE : (at + 1) * 8 * SAMPLE_RATE] for at in range(4)]
    silence = np.zeros(7 * SAMPLE_RATE, np.float32)
    return np.concatenate([part for piece in pieces for part in (piece, silence)][:-1])


def heard(transcriber, samples, **options):
    segments, _ = transcriber.transcribe(samples, sample_rate=SAMPLE_RATE, **options)
    return [(segment.start, segment.end, segment.text, segment.tokens) for segment in segments]


@pytest.mark.parametrize("options", [{}, {"vad_filter": True}], ids=["all", "vad"])
def test_parts_that_begin_after_long_pauses_are_the_whole(transcriber, apart, options):
    whole = heard(transcriber, apart, **options)
    parts = [heard(transcriber, apart, part=(index, 3), **options) for index in range(3)]
    assert all(parts)
    assert [segment for part in parts for segment in part] == whole


def test_where_there_is_no_long_pause_a_part_begins_in_a_short_one(transcriber, two_cities):
    samples = load_audio(two_cities)
    whole = " ".join(text for _, _, text, _ in heard(transcriber, samples)).split()
    first, second = (heard(transcriber, samples, part=(index, 2)) for index in range(2))
    assert first[-1][1] <= second[0][0]
    assert abs(first[-1][1] - len(samples) / SAMPLE_RATE / 2) < 15
    both = " ".join(text for _, _, text, _ in (*first, *second)).split()
    assert abs(len(both) - len(whole)) <= 3
    assert len({*both} & {*whole}) >= 0.9 * len({*whole})


def test_only_the_first_part_is_told_a_prefix(transcriber, apart):
    first, last = (heard(transcriber, apart, part=(at, 2), prefix="Once upon a time") for at in range(2))
    assert first[0][2].startswith("Once upon a time")
    assert last == heard(transcriber, apart, part=(1, 2))


@given(
    probabilities=st.lists(st.floats(0, 1), min_size=100, max_size=400),
    count=st.integers(1, 3),
)
def test_parts_follow_on_each_other_from_the_beginning_to_the_end(probabilities, count):
    length = len(probabilities) * 512
    speech = Speech.of(probabilities, length, VadOptions())
    parts = [speech.part(index, count, length / SAMPLE_RATE) for index in range(count)]
    assert parts[0].start == 0
    assert parts[-1].end == length / SAMPLE_RATE
    assert all(part.start < part.end for part in parts)
    assert all(before.end == after.start for before, after in pairwise(parts))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"part": (2, 2)}, "part must be a number from 0"),
        ({"part": (0, 50)}, r"a recording of \d+.\d s has no 50 parts"),
        ({"part": (0, 2), "clip_timestamps": [1]}, "leave one of them out"),
        ({"part": (0, 2), "vad_filter": False}, "leave vad_filter and no_speech_threshold on"),
        ({"part": (0, 2), "condition_on_previous_text": True}, "transcribe the whole recording"),
    ],
    ids=["no part", "too many", "clips", "nobody listens", "earlier text"],
)
def test_what_is_no_part_is_refused(transcriber, two_cities, options, says):
    with pytest.raises(OptionError, match=says):
        transcriber.transcribe(two_cities, **options)
