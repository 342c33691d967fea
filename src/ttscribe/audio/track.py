"""Mono 16 kHz sound, gathered from pieces of any channel count and rate."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from ttscribe.errors import AudioTooLong, InvalidSamples
from ttscribe.types import Samples

SAMPLE_RATE = 16_000
"""Samples per second of everything that Whisper hears."""

LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000
"""Hz: a rate outside these is a mistake or a damaged header, not a recording."""

LOUDEST = 1e9
"""Full scale is 1; beyond this, squared magnitudes come near what float32 can hold."""


class MonoTrack:
    """Takes sound piece by piece, mixes the channels to their mean and resamples to 16 kHz (soxr HQ).

    What comes of it goes on to ``sink``, float32 [samples] of any number, so that nothing grows with the recording. One
    whose rate changes midway is resampled from each rate in turn. ``label`` names it in errors.
    """

    def __init__(self, label: str, sink: Callable[[Samples], None], max_duration: float = math.inf) -> None:
        """``max_duration`` is in seconds: sound that goes on beyond it is refused."""
        self.label = label
        self.seconds = 0.0
        self._sink = sink
        self._max_duration = max_duration
        self._rate = math.nan
        self._resampler: soxr.ResampleStream | None = None
        self._given = 0
        self._count = 0
        self._bad = 0
        self._first_bad = 0.0

    def add(self, channels: npt.NDArray[Any], rate: float) -> None:
        """Append float ``channels`` [channels, samples] at ``rate`` Hz.

        Raises InvalidSamples if the rate is absurd, AudioTooLong if the sound now lasts longer than it may.
        """
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
        if self.seconds > self._max_duration:
            raise AudioTooLong(
                f"{self.label}: longer than {self._max_duration:g} s, the longest allowed; "
                "cut it, or allow more with max_duration (--max-duration)"
            )
        self._give(self._resampler.resample_chunk(mono) if self._resampler else mono)

    def finish(self) -> None:
        """The end of the sound; InvalidSamples if there was none, or some of it was not finite."""
        self._flush()
        self.require_good()
        if not self._given:
            raise InvalidSamples(f"{self.label}: no sound, its length is zero")

    def require_good(self) -> None:
        """InvalidSamples if some of the sound so far was not finite."""
        if self._bad:
            raise InvalidSamples(
                f"{self.label}: {self._bad} of {self._count} samples are NaN, infinite or absurdly large, "
                f"the first at {self._first_bad:.3f} s; export the recording again"
            )

    def _give(self, samples: Samples) -> None:
        self._given += samples.size
        self._sink(samples)

    def _start(self, rate: float) -> None:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise InvalidSamples(
                f"{self.label}: a sample rate of {rate:g} Hz is impossible; "
                f"it must be {LOWEST_RATE} to {HIGHEST_RATE} Hz"
            )
        self._rate = rate
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def _flush(self) -> None:
        if self._resampler:
            # It holds back what its filter still needs, until it hears that nothing follows.
            self._give(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))
            self._resampler = None

    def _count_bad(self, mono: Samples) -> None:
        good = np.abs(mono) <= LOUDEST  # false for NaN too
        if good.all():
            return
        if not self._bad:
            self._first_bad = self.seconds + float(np.argmin(good)) / self._rate
        self._bad += int(mono.size - np.count_nonzero(good))
