"""Sound that comes in chunks is the sound of a file."""

import wave

import numpy as np
import pytest

from ttscribe import InvalidSamples
from ttscribe.audio import heard_chunks, load_audio


@pytest.fixture(scope="module")
def pcm(beckett):
    """Rate and 16-bit samples."""
    with wave.open(str(beckett)) as file:
        return file.getframerate(), file.readframes(file.getnframes())


def test_bytes_that_end_within_a_sample_are_those_of_the_file(beckett, pcm):
    rate, data = pcm
    chunks = [data[start : start + 3333] for start in range(0, len(data), 3333)]
    heard = np.concatenate(list(heard_chunks(chunks, sample_rate=rate)))
    np.testing.assert_allclose(heard, load_audio(beckett), atol=1e-4)


def test_floats_as_bytes_and_arrays_are_the_same(pcm):
    rate, data = pcm
    samples = np.frombuffer(data, np.int16)
    floats = (samples / 32768).astype(np.float32)
    expected = list(heard_chunks([samples], sample_rate=rate))
    for chunk, kind in ((floats, "s16le"), (floats.tobytes(), "f32le"), (memoryview(data), "s16le")):
        found = list(heard_chunks([chunk], sample_rate=rate, input_format=kind))
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))


def test_no_sound_is_no_error():
    assert list(heard_chunks([], sample_rate=16_000)) == []
    assert list(heard_chunks([b""], sample_rate=16_000)) == []


@pytest.mark.parametrize(
    ("chunk", "rate", "problem"),
    [
        (np.full(9, np.nan, np.float32), 16_000, "the stream: 9 of 9 samples are NaN, infinite or absurdly large"),
        (np.zeros(9, np.float32), 10, "the stream: a sample rate of 10 Hz is impossible"),
        ("text", 16_000, "the stream: a chunk is bytes or a NumPy array, not str"),
    ],
    ids=str,
)
def test_a_chunk_that_cannot_be_used_is_refused(chunk, rate, problem):
    with pytest.raises(InvalidSamples, match=problem):
        list(heard_chunks([chunk], sample_rate=rate))
