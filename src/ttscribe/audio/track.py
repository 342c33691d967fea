"""Mono 16 kHz sound, gathered from pieces of any channel count and rate."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from ttscribe.errors import InvalidSamples
from ttscribe.types import Samples

SAMPLE_RATE = 16_000
"""Samples per second of everything that Whisper hears."""

LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000
"""Hz: a rate outside these is a mistake or a damaged header, not a recording."""

LOUDEST = 1e9
"""Full scale is 1; beyond this, squared magnitudes come near what float32 can hold."""


class MonoTrack:
    """Takes sound piece by piece, mixes the channels to their mean and resamples to 16 kHz (soxr HQ).

    A recording whose rate changes midway is resampled from each rate in turn. ``label`` names it in errors.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._rate = math.nan
        self._resampler: soxr.ResampleStream | None = None
        self._pieces: list[Samples] = []
        self._count = 0
        self._bad = 0
        self._first_bad = 0.0
        self.seconds = 0.0

    def add(self, channels: npt.NDArray[Any], rate: float) -> None:
        """Append float ``channels`` [channels, samples] at ``rate`` Hz; InvalidSamples if the rate is absurd."""
        if rate != self._rate:
            self._flush()
            self._start(rate)
        if not channels.size:
            return
        # Doubles too large for float32 become infinite, which _count_bad reports.
        with np.errstate(over="ignore", invalid="ignore"):
            mono = channels.mean(axis=0).astype(np.float32)
        self._count_bad(mono)
        self._count += mono.size
        self.seconds += mono.size / rate
        self._pieces.append(self._resampler.resample_chunk(mono) if self._resampler else mono)

    def finish(self) -> Samples:
        """All the sound, float32 [samples]; InvalidSamples if there is none, or some of it is not finite."""
        self._flush()
        if self._bad:
            raise InvalidSamples(
                f"{self._label}: {self._bad} of {self._count} samples are NaN, infinite or absurdly large, "
                f"the first at {self._first_bad:.3f} s; export the recording again"
            )
        samples = np.concatenate(self._pieces) if self._pieces else np.empty(0, np.float32)
        if not samples.size:
            raise InvalidSamples(f"{self._label}: no sound, its length is zero")
        return samples

    def _start(self, rate: float) -> None:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise InvalidSamples(
                f"{self._label}: a sample rate of {rate:g} Hz is impossible; "
                f"it must be {LOWEST_RATE} to {HIGHEST_RATE} Hz"
            )
        self._rate = rate
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def _flush(self) -> None:
        if self._resampler:
            # It holds back what its filter still needs, until it hears that nothing follows.
            self._pieces.append(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
            self._resampler = None

    def _count_bad(self, mono: Samples) -> None:
        good = np.abs(mono) <= LOUDEST  # false for NaN too
        if good.all():
            return
        if not self._bad:
            self._first_bad = self.seconds + float(np.argmin(good)) / self._rate
        self._bad += int(mono.size - np.count_nonzero(good))
