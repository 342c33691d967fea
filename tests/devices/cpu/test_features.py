"""The kernels' transform of sound beside PyTorch's, which is Hugging Face's, and beside the true features."""

import numpy as np
import pytest

from ttscribe.audio import HOP, WINDOW_SAMPLES, features, listen, load_audio, log_mel, window
from ttscribe.audio.features import N_FFT, mel_filters
from ttscribe.devices.cpu import kernels
from ttscribe.devices.cpu.features import log_power

pytestmark = pytest.mark.skipif(kernels.why_not() is not None, reason=f"no int8: {kernels.why_not()}")

each_library = pytest.mark.parametrize("library", kernels.NEEDS, indirect=True)


def like_pytorchs(samples):
    ours, pytorchs = (log_mel(samples, 80, transform) for transform in (log_power, None))
    assert (ours.shape, ours.dtype) == (pytorchs.shape, pytorchs.dtype)
    np.testing.assert_allclose(ours, pytorchs, rtol=0, atol=3e-5)


def true_features(samples, bins):
    """In 64 bits, of at least 30 s."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples.astype(float), N_FFT // 2, "reflect"), N_FFT)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    spectra = np.fft.rfft(frames[: len(samples) // HOP * HOP : HOP] * hann)
    power = np.log10(np.maximum(mel_filters(bins).astype(float) @ np.square(np.abs(spectra)).T, 1e-10))
    return (np.maximum(power, power.max() - 8) + 4) / 4


@each_library
@pytest.mark.parametrize("bins", [80, 128])
def test_features_of_speech_are_as_near_to_the_true_ones_as_pytorchs(library, bins, two_cities):
    samples = load_audio(two_cities)
    expected = true_features(samples, bins)
    ours, pytorchs = (np.abs(log_mel(samples, bins, transform) - expected) for transform in (log_power, None))
    # Where a frame is loud, the rounding of it is seen in its quietest bins: of both.
    assert ours.max() < 3e-5
    assert np.quantile(ours, 0.99) < 2e-6
    for off in (np.mean, np.max):
        assert off(ours) < 1.5 * off(pytorchs)


@each_library
@pytest.mark.parametrize("length", [1, 399, 16_000, WINDOW_SAMPLES - 1, WINDOW_SAMPLES, WINDOW_SAMPLES + 2 * HOP + 1])
def test_sound_of_any_length_has_pytorchs_features(library, length):
    samples = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    like_pytorchs(samples)


@each_library
@pytest.mark.parametrize("loudness", [0, 1e-7, 1e-5, 1.0, 1e4])
def test_silence_and_noise_of_any_loudness_have_pytorchs_features(library, loudness):
    samples = loudness * np.random.default_rng(0).normal(0, 1, 2 * 16_000).astype(np.float32)
    like_pytorchs(samples)


@each_library
def test_features_do_not_depend_on_the_pieces_in_which_sound_comes(library, two_cities, monkeypatch):
    """Nor on how many frames are transformed together."""
    samples = load_audio(two_cities)
    whole = log_mel(samples, 80, log_power)
    recording = listen(two_cities, 80, transform=log_power)
    for start in (0, 1437, whole.shape[1] - 1):
        assert np.array_equal(recording.window(start), window(whole, start))
    for size, block in ((159, 3000), (200_000, 7), (len(samples), 10_000)):
        monkeypatch.setattr(features, "BLOCK_FRAMES", block)
        blocks = []
        stream = features.LogPowerStream(80, blocks.append, log_power)
        for start in range(0, len(samples), size):
            stream.add(samples[start : start + size])
        stream.finish()
        joined = np.concatenate(blocks)
        assert np.array_equal(features.limit_range(joined, joined.max()).T, whole)


def test_a_transcript_is_made_of_them(tiny_en, beckett, monkeypatch):
    """And not of PyTorch's, which is slow to import."""
    from ttscribe.audio import torch_power
    from ttscribe.transcription import Transcriber

    monkeypatch.setattr(torch_power, "log_power", lambda *_: pytest.fail("PyTorch transforms"))
    segments, _ = Transcriber(tiny_en, precision="int8").transcribe(beckett)
    assert next(segments).text.startswith("Ever tried")
