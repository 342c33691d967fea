import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from ttscribe.audio import HOP, WINDOW_FRAMES, WINDOW_SAMPLES, features, load_audio, log_mel, window
from ttscribe.audio.features import mel_filters


def reference(samples: np.ndarray, bins: int) -> np.ndarray:
    """What Hugging Face gives for a clip of any length."""
    extract = WhisperFeatureExtractor(feature_size=bins)
    padding = "max_length" if len(samples) < WINDOW_SAMPLES else "longest"
    out = extract(samples, sampling_rate=16000, return_tensors="np", truncation=False, padding=padding)
    return out.input_features[0]


def same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """But for the order in which products are summed: to square parts of a spectrum and add them is 1e-5 off."""
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("clip", ["beckett", "two_cities"])
def test_equals_hugging_face_on_packaged_speech(clip, bins, request):
    samples = load_audio(request.getfixturevalue(clip))
    same(log_mel(samples, bins), reference(samples, bins))


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("clip", ["jfk", "ps-something", "ls-other-1688-142285-0008", "long-ast-en-demo-instruct"])
def test_equals_hugging_face_on_reference_clips(clip, bins, speech):
    samples = load_audio(speech / "audio" / f"{clip}.flac")
    same(log_mel(samples, bins), reference(samples, bins))


@pytest.mark.parametrize("length", [1, 399, WINDOW_SAMPLES - 1, WINDOW_SAMPLES, WINDOW_SAMPLES + 1])
def test_any_length_equals_hugging_face(length):
    samples = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    same(log_mel(samples, 80), reference(samples, 80))


@pytest.mark.parametrize(("length", "frames"), [(1, 3000), (480_000, 3000), (480_159, 3000), (480_160, 3001)])
def test_short_sound_fills_a_window_and_long_sound_is_taken_whole(length, frames):
    mel = log_mel(np.zeros(length, np.float32), 80)
    assert mel.shape == (80, frames)
    assert mel.dtype == np.float32


@pytest.mark.parametrize("block", [2, 7, 2999, 3000])
def test_blocks_join_without_a_seam(block, monkeypatch, two_cities):
    samples = load_audio(two_cities)[: WINDOW_SAMPLES + 1000]
    whole = log_mel(samples, 80)
    monkeypatch.setattr(features, "BLOCK_FRAMES", block)
    np.testing.assert_allclose(log_mel(samples, 80), whole, rtol=0, atol=1e-5)


def test_a_last_block_of_one_frame(monkeypatch):
    samples = np.random.default_rng(0).normal(0, 0.1, WINDOW_SAMPLES + HOP).astype(np.float32)
    monkeypatch.setattr(features, "BLOCK_FRAMES", 3000)
    same(log_mel(samples, 80), reference(samples, 80))


def test_the_range_is_limited_by_the_loudest_place_of_the_whole_file():
    samples = np.random.default_rng(0).normal(0, 1e-5, 2 * WINDOW_SAMPLES).astype(np.float32)
    samples[-WINDOW_SAMPLES:] *= 1e5
    mel = log_mel(samples, 80)
    assert mel.max() - mel.min() == pytest.approx(2, abs=1e-6)
    assert mel[:, :2900].max() == mel.min()


def test_takes_arrays_that_are_read_only_or_have_gaps(beckett):
    samples = load_audio(beckett)
    expected = log_mel(samples, 80)
    samples.flags.writeable = False
    assert np.array_equal(log_mel(samples, 80), expected)
    assert np.array_equal(log_mel(np.repeat(samples, 2)[::2], 80), expected)


def test_input_is_left_as_it_was(beckett):
    samples = load_audio(beckett)
    before = samples.copy()
    log_mel(samples, 80)
    assert np.array_equal(samples, before)


@pytest.mark.parametrize("bins", [80, 128])
def test_filters_equal_hugging_face(bins):
    expected = WhisperFeatureExtractor(feature_size=bins).mel_filters.astype(np.float32).T
    same(mel_filters(bins), expected)


def test_windows_are_slices_padded_with_zeros():
    mel = np.arange(2 * 4000, dtype=np.float32).reshape(2, 4000) + 1
    assert np.array_equal(window(mel, 0), mel[:, :WINDOW_FRAMES])
    assert np.array_equal(window(mel, 1000), mel[:, 1000:])
    tail = window(mel, 3990)
    assert np.array_equal(tail[:, :10], mel[:, 3990:])
    assert tail.shape == (2, WINDOW_FRAMES)
    assert not tail[:, 10:].any()
