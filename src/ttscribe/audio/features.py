"""Whisper's log-mel features, for a whole recording at once, and their 30 s windows."""

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from ttscribe.audio.track import SAMPLE_RATE
from ttscribe.types import Samples

N_FFT = 400
"""Samples in a frame: 25 ms."""

HOP = 160
"""Samples from one frame to the next: 10 ms."""

WINDOW_SAMPLES = 30 * SAMPLE_RATE
WINDOW_FRAMES = WINDOW_SAMPLES // HOP

BLOCK_FRAMES = 6_000
"""Frames transformed together: bounds the memory that hours of sound take beside the features themselves."""


def log_mel(samples: Samples | torch.Tensor, num_mel_bins: int) -> torch.Tensor:
    """Log-mel features, float32 [num_mel_bins, frames], of mono 16 kHz ``samples`` [samples], on the same device.

    Equal to Hugging Face's ``WhisperFeatureExtractor``: sound shorter than 30 s is padded with zeros to 3000 frames,
    longer sound is taken whole (samples // 160 frames), and the range is limited to 8 below the maximum of all of it.
    """
    signal = _as_tensor(samples)
    if len(signal) < WINDOW_SAMPLES:
        signal = F.pad(signal, (0, WINDOW_SAMPLES - len(signal)))
    # One frame less than a centred transform gives: Whisper drops the last.
    frames = len(signal) // HOP
    filters = mel_filters(num_mel_bins).to(signal.device)
    mel = torch.empty(num_mel_bins, frames, device=signal.device)
    for start in range(0, frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, frames)
        torch.matmul(filters, _power(signal, start, stop), out=mel[:, start:stop])
    # Digital silence has no logarithm: 1e-10 stands for it.
    mel.clamp_(min=1e-10).log10_()
    # 8 in log10 of power is 80 dB; the sum and the quotient bring the rest near -1 to 1, as in training.
    return mel.clamp_(min=mel.max() - 8).add_(4).div_(4)


def window(mel: torch.Tensor, start: int) -> torch.Tensor:
    """Frames ``start`` to ``start + 3000`` of ``mel`` [bins, frames]: [bins, 3000], zeros beyond its end."""
    frames = mel[:, start : start + WINDOW_FRAMES]
    return F.pad(frames, (0, WINDOW_FRAMES - frames.shape[1]))


@functools.cache
def mel_filters(num_mel_bins: int) -> torch.Tensor:
    """Triangular filters of unit area on Slaney's mel scale, 0 to 8 kHz: float32 [num_mel_bins, 201].

    From M. Slaney, Auditory Toolbox (1998); the defaults of ``librosa.filters.mel``.
    """
    bins = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    edges = _slaney_hz(np.linspace(0, _slaney_mel(SAMPLE_RATE / 2), num_mel_bins + 2))
    widths = np.diff(edges)
    rising = (bins - edges[:-2, np.newaxis]) / widths[:-1, np.newaxis]
    falling = (edges[2:, np.newaxis] - bins) / widths[1:, np.newaxis]
    areas = (edges[2:] - edges[:-2])[:, np.newaxis] / 2
    return torch.from_numpy(np.maximum(0, np.minimum(rising, falling)) / areas).float()


# Slaney's scale is linear up to 1000 Hz, 3 mels each 200 Hz, then logarithmic, 27 mels each factor of 6.4.
LINEAR_HZ, LINEAR_MELS = 1000.0, 15.0
MELS_PER_E = 27 / np.log(6.4)


def _slaney_mel(hz: float) -> float:
    """Mels of a frequency in the logarithmic part."""
    return float(LINEAR_MELS + MELS_PER_E * np.log(hz / LINEAR_HZ))


def _slaney_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = mels * LINEAR_HZ / LINEAR_MELS
    return np.where(mels < LINEAR_MELS, linear, LINEAR_HZ * np.exp((mels - LINEAR_MELS) / MELS_PER_E))


def _as_tensor(samples: Samples | torch.Tensor) -> torch.Tensor:
    if isinstance(samples, torch.Tensor):
        return samples.float()
    # A copy where the array is read-only, for torch has no such tensors and warns.
    return torch.from_numpy(np.require(samples, np.float32, ["C", "W"]))


def _power(signal: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Squared magnitudes [201, stop - start] of the frames centred on samples ``start * HOP`` onward.

    The signal is mirrored at its two ends, as ``torch.stft`` does when centring; between blocks it runs on.
    """
    half = N_FFT // 2
    first, last = start * HOP - half, (stop - 1) * HOP + half
    left, right = max(0, -first), max(0, last - len(signal))
    block = F.pad(signal[first + left : last - right][np.newaxis], (left, right), mode="reflect")
    # The periodic window, as OpenAI and Hugging Face have it; numpy.hanning is the symmetric one.
    hann = torch.hann_window(N_FFT, device=signal.device)
    spectrum = torch.stft(block[0], N_FFT, HOP, window=hann, center=False, return_complex=True)
    return spectrum.abs().square()
