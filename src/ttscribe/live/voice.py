"""Whether somebody speaks, while the sound is coming."""

from __future__ import annotations

from collections import deque

from ttscribe.audio import SAMPLE_RATE
from ttscribe.options import VadOptions
from ttscribe.types import Samples
from ttscribe.vad import FrameListener
from ttscribe.vad.silero import FRAME

_SECONDS = FRAME / SAMPLE_RATE
_KEPT = round(60 / _SECONDS)
"""Frames that are remembered: more than any buffer lasts."""


class Voice:
    """Follows a stream by Silero VAD; ``since`` is whether somebody spoke since ``rest`` was called."""

    def __init__(self, options: VadOptions) -> None:
        self._threshold = options.threshold
        self._listener = FrameListener()
        self._heard: deque[bool] = deque(maxlen=_KEPT)
        self._frames = 0
        self._last = -1
        self.since = False

    def add(self, samples: Samples) -> None:
        """Hear the next samples."""
        for probability in [each for found in self._listener.add(samples) for each in found.tolist()]:
            # Speech begins at the threshold, and ends below it by 0.15.
            goes_on = self.since and self._last == self._frames - 1 and probability >= self._threshold - 0.15
            is_speech = probability >= self._threshold or goes_on
            self._heard.append(is_speech)
            if is_speech:
                self._last, self.since = self._frames, True
            self._frames += 1

    @property
    def silent(self) -> float:
        """Seconds since somebody spoke last, or since the start."""
        return (self._frames - 1 - self._last) * _SECONDS

    @property
    def last(self) -> float:
        """When somebody spoke last, in seconds of the stream; 0 if nobody did."""
        return (self._last + 1) * _SECONDS

    @property
    def heard(self) -> float:
        """Seconds of the stream that were heard, in whole frames."""
        return self._frames * _SECONDS

    def rest(self) -> None:
        """Forget that somebody spoke."""
        self.since = False

    def seconds(self, start: float, end: float) -> float:
        """Seconds of speech between two times of the stream."""
        oldest = self._frames - len(self._heard)
        first, stop = (min(max(round(time / _SECONDS) - oldest, 0), len(self._heard)) for time in (start, end))
        return sum(self._heard[index] for index in range(first, stop)) * _SECONDS
