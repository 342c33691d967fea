"""Whisper's log-mel features, of sound that comes piece by piece or as a whole, and their 30 s windows."""

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ttscribe.audio.track import SAMPLE_RATE
from ttscribe.types import Features, FloatArray, LogPower, Samples

N_FFT = 400
"""Samples in a frame: 25 ms."""

HOP = 160
"""Samples from one frame to the next: 10 ms."""

WINDOW_SAMPLES = 30 * SAMPLE_RATE
WINDOW_FRAMES = WINDOW_SAMPLES // HOP

BLOCK_FRAMES = 3_000
"""Frames transformed together."""


class LogPowerStream:
    """Log10 of mel power of mono 16 kHz sound that comes piece by piece, to ``sink`` as float32 [frames, num_mel_bins].

    They are ``log_mel``'s features to the bit, but for the range, which the loudest place decides: ``limit_range``.
    ``transform`` is PyTorch's where it is None.
    """

    def __init__(self, num_mel_bins: int, sink: Callable[[Features], None], transform: LogPower | None = None) -> None:
        self.frames = 0
        self._bins, self._sink = num_mel_bins, sink
        self._log_power = transform or _by_torch()
        self._pieces: list[Samples] = []
        # Samples so far, and how many of them are gone from the pieces.
        self._length = self._gone = 0

    def add(self, samples: Samples) -> None:
        """Take float32 samples [any number]."""
        self._pieces.append(np.ascontiguousarray(samples, np.float32))
        self._length += len(samples)
        # A frame reaches half its length beyond its centre.
        complete = (self._length - N_FFT // 2) // HOP + 1
        self._transform(complete - complete % BLOCK_FRAMES)

    def finish(self) -> None:
        """The end of the sound, which is filled up with zeros to 30 s."""
        missing = WINDOW_SAMPLES - self._length
        if missing > 0:
            self.add(np.zeros(missing, np.float32))
        # One frame less than a centred transform gives: Whisper drops the last.
        self._transform(self._length // HOP)

    def _transform(self, until: int) -> None:
        if until <= self.frames:
            return
        signal = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)
        while self.frames < until:
            stop = min(self.frames + BLOCK_FRAMES, until)
            first, last = (centre * HOP - self._gone for centre in (self.frames, stop - 1))
            self._sink(self._log_power(signal, first, last, self._bins))
            self.frames = stop
        gone = max(self._gone, self.frames * HOP - N_FFT // 2)
        self._pieces = [signal[gone - self._gone :].copy()]
        self._gone = gone


def _by_torch() -> LogPower:
    # PyTorch takes seconds to import, and another transform does without.
    from ttscribe.audio.torch_power import log_power

    return log_power


def log_mel(samples: Samples, num_mel_bins: int, transform: LogPower | None = None) -> Features:
    """Log-mel features, float32 [num_mel_bins, frames], of mono 16 kHz ``samples`` [samples].

    By PyTorch's transform, where ``transform`` is None, they are equal to Hugging Face's ``WhisperFeatureExtractor``:
    sound shorter than 30 s is padded with zeros to 3000 frames, longer sound is taken whole (samples // 160 frames),
    and the range is limited to 8 below the maximum of all of it.
    """
    blocks: list[Features] = []
    stream = LogPowerStream(num_mel_bins, blocks.append, transform)
    stream.add(samples)
    stream.finish()
    power = np.concatenate(blocks)
    return np.ascontiguousarray(limit_range(power, power.max()).T)


def limit_range(log_power: Features, loudest: np.float32) -> Features:
    """Features as Whisper was trained on, of log10 power, in its memory; ``loudest`` is the recording's maximum."""
    # 8 in log10 of power is 80 dB; the sum and the quotient bring the rest near -1 to 1, as in training.
    np.maximum(log_power, loudest - np.float32(8), out=log_power)
    log_power += 4
    log_power /= 4
    return log_power


def window(mel: Features, start: int) -> Features:
    """Frames ``start`` to ``start + 3000`` of ``mel`` [bins, frames]: [bins, 3000], zeros beyond its end."""
    frames = mel[:, start : start + WINDOW_FRAMES]
    return np.pad(frames, ((0, 0), (0, WINDOW_FRAMES - frames.shape[1])))


def first_window(samples: Samples, num_mel_bins: int, transform: LogPower | None = None) -> Features:
    """``log_mel`` of the first 30 s, as what is decoded alone or as a batch of one: [1, num_mel_bins, 3000]."""
    return window(log_mel(samples, num_mel_bins, transform), 0)[None]


@functools.cache
def mel_filters(num_mel_bins: int) -> FloatArray:
    """Triangular filters of unit area on Slaney's mel scale, 0 to 8 kHz: float32 [num_mel_bins, 201].

    From M. Slaney, Auditory Toolbox (1998); the defaults of ``librosa.filters.mel``.
    """
    bins = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    edges = _slaney_hz(np.linspace(0, _slaney_mel(SAMPLE_RATE / 2), num_mel_bins + 2))
    widths = np.diff(edges)
    rising = (bins - edges[:-2, np.newaxis]) / widths[:-1, np.newaxis]
    falling = (edges[2:, np.newaxis] - bins) / widths[1:, np.newaxis]
    areas = (edges[2:] - edges[:-2])[:, np.newaxis] / 2
    filters: npt.NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) / areas
    return filters.astype(np.float32)


# Slaney's scale is linear up to 1000 Hz, 3 mels each 200 Hz, then logarithmic, 27 mels each factor of 6.4.
LINEAR_HZ, LINEAR_MELS = 1000.0, 15.0
MELS_PER_E = 27 / np.log(6.4)


def _slaney_mel(hz: float) -> float:
    """Mels of a frequency in the logarithmic part."""
    return float(LINEAR_MELS + MELS_PER_E * np.log(hz / LINEAR_HZ))


def _slaney_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = mels * LINEAR_HZ / LINEAR_MELS
    return np.where(mels < LINEAR_MELS, linear, LINEAR_HZ * np.exp((mels - LINEAR_MELS) / MELS_PER_E))
