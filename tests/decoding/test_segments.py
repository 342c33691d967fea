"""Windows cut into segments as Hugging Face's sequential algorithm cuts them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.whisper.generation_whisper import WhisperGenerationMixin

from ttscribe.decoding import split_window

BEGIN = 1000


def hugging_face(tokens: list[int], frames: int) -> tuple[list[tuple[float, float]], int]:
    segments, offset = WhisperGenerationMixin._retrieve_segment(
        seek_sequence=torch.tensor(tokens),
        seek_outputs=[{}],
        time_offset=torch.zeros(1, dtype=torch.float64),
        timestamp_begin=BEGIN,
        seek_num_frames=torch.tensor([frames]),
        time_precision=0.02,
        time_precision_features=0.01,
        input_stride=2,
        prev_idx=0,
        idx=0,
        return_token_timestamps=False,
        decoder_input_ids=torch.zeros(1, 0, dtype=torch.int64),
    )
    return [(float(segment["start"]), float(segment["end"])) for segment in segments], int(offset)


@st.composite
def windows(draw: st.DrawFn) -> list[int]:
    """Token sequences that the timestamp grammar allows."""
    times = draw(st.lists(st.integers(0, 1500), min_size=1, max_size=9, unique=True).map(sorted))
    text = st.lists(st.integers(0, 900), min_size=1, max_size=4)
    tokens = [BEGIN + times[0], *draw(text)]
    for time in times[1:]:
        tokens += [BEGIN + time, BEGIN + time, *draw(text)]
    if draw(st.booleans()):
        tokens.append(BEGIN + 1500)
        if draw(st.booleans()):
            tokens.append(BEGIN + 1500)
    return tokens


@given(tokens=windows(), frames=st.integers(1, 3000))
@settings(max_examples=300, deadline=None)
def test_windows_are_cut_as_hugging_face_cuts_them(tokens, frames):
    segments, advance = split_window(tokens, BEGIN, frames)
    expected, offset = hugging_face(tokens, frames)
    assert advance == offset
    assert advance > 0
    ours = [(segment.start, segment.end) for segment in segments]
    assert ours == [pytest.approx(times, abs=0.011) for times in expected]


def test_a_window_with_no_tokens_is_passed_over():
    segments, advance = split_window([], BEGIN, 1234)
    assert [segment.tokens for segment in segments] == [()]
    assert advance == 1234
