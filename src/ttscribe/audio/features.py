"""Whisper's log-mel features, of sound that comes piece by piece or as a whole, and their 30 s windows."""

import functools
from collections.abc import Callable

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

BLOCK_FRAMES = 3_000
"""Frames transformed together."""


class LogPowerStream:
    """Log10 of mel power of mono 16 kHz sound that comes piece by piece, to ``sink`` as float32 [num_mel_bins, frames].

    They are ``log_mel``'s features to the bit, but for the range, which the loudest place decides: ``limit_range``.
    """

    def __init__(self, num_mel_bins: int, sink: Callable[[torch.Tensor], None]) -> None:
        self.frames = 0
        self._filters, self._sink = mel_filters(num_mel_bins), sink
        self._pieces: list[torch.Tensor] = []
        # Samples so far, and how many of them are gone from the pieces.
        self._length = self._gone = 0

    def add(self, samples: torch.Tensor) -> None:
        """Take float32 samples [any number], all on one device."""
        self._pieces.append(samples)
        self._length += len(samples)
        # A frame reaches half its length beyond its centre.
        complete = (self._length - N_FFT // 2) // HOP + 1
        self._transform(complete - complete % BLOCK_FRAMES)

    def finish(self) -> None:
        """The end of the sound, which is filled up with zeros to 30 s."""
        missing = WINDOW_SAMPLES - self._length
        if missing > 0:
            self.add(self._pieces[0].new_zeros(missing))
        # One frame less than a centred transform gives: Whisper drops the last.
        self._transform(self._length // HOP)

    def _transform(self, until: int) -> None:
        if until <= self.frames:
            return
        signal = self._pieces[0] if len(self._pieces) == 1 else torch.cat(self._pieces)
        filters = self._filters.to(signal.device)
        while self.frames < until:
            stop = min(self.frames + BLOCK_FRAMES, until)
            first, last = (centre * HOP - self._gone for centre in (self.frames, stop - 1))
            # Digital silence has no logarithm: 1e-10 stands for it.
            self._sink((filters @ _power(signal, first, last)).clamp_(min=1e-10).log10_())
            self.frames = stop
        gone = max(self._gone, self.frames * HOP - N_FFT // 2)
        self._pieces = [signal[gone - self._gone :].clone()]
        self._gone = gone


def log_mel(samples: Samples | torch.Tensor, num_mel_bins: int) -> torch.Tensor:
    """Log-mel features, float32 [num_mel_bins, frames], of mono 16 kHz ``samples`` [samples], on the same device.

    Equal to Hugging Face's ``WhisperFeatureExtractor``: sound shorter than 30 s is padded with zeros to 3000 frames,
    longer sound is taken whole (samples // 160 frames), and the range is limited to 8 below the maximum of all of it.
    """
    blocks: list[torch.Tensor] = []
    stream = LogPowerStream(num_mel_bins, blocks.append)
    stream.add(as_tensor(samples))
    stream.finish()
    power = torch.cat(blocks, dim=1)
    return limit_range(power, power.max())


def limit_range(log_power: torch.Tensor, loudest: torch.Tensor) -> torch.Tensor:
    """Features as Whisper was trained on, of log10 power, in its memory; ``loudest`` is the recording's maximum."""
    # 8 in log10 of power is 80 dB; the sum and the quotient bring the rest near -1 to 1, as in training.
    return log_power.clamp_(min=loudest - 8).add_(4).div_(4)


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


def as_tensor(samples: Samples | torch.Tensor) -> torch.Tensor:
    """Samples as a float32 tensor, which shares their memory where it may be written to."""
    if isinstance(samples, torch.Tensor):
        return samples.float()
    # A copy where the array is read-only, for torch has no such tensors and warns.
    return torch.from_numpy(np.require(samples, np.float32, ["C", "W"]))


def _power(signal: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Squared magnitudes [201, frames] of the frames centred on each ``HOP``th sample, ``first`` to ``last``.

    The signal is mirrored at its two ends, as ``torch.stft`` does when centring; between blocks it runs on.
    """
    start, stop = first - N_FFT // 2, last + N_FFT // 2
    left, right = max(0, -start), max(0, stop - len(signal))
    block = F.pad(signal[start + left : stop - right][np.newaxis], (left, right), mode="reflect")
    # The periodic window, as OpenAI and Hugging Face have it; numpy.hanning is the symmetric one.
    hann = torch.hann_window(N_FFT, device=signal.device)
    spectrum = torch.stft(block[0], N_FFT, HOP, window=hann, center=False, return_complex=True)
    # To square the parts and add them takes a third of the time, and is not Hugging Face's to the last bit: with
    # bfloat16 that is another word now and then.
    return spectrum.abs().square()
