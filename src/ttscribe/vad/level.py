"""Quiet sound made louder for the detector, since Silero VAD takes quiet speech for pauses."""

from __future__ import annotations

import numpy as np

from ttscribe.types import Samples
from ttscribe.vad.silero import FRAME

# Power of a half second at -35 dB, above which sound is heard as it is, and at -23 dB, to which it is raised below.
_QUIET, _USUAL = 10**-3.5, 10**-2.3
_MOST = 1e6
"""By which power is raised at most, 60 dB: what is quieter than -83 dB is the last bit of 16."""

_MEMORY = FRAME / 8000
"""Share of a frame in the power of the last half second."""


class Level:
    """How loud sound has been so far, and by what it is therefore multiplied."""

    def __init__(self) -> None:
        self._power = self._loudest = 0.0

    def gain(self, frames: Samples) -> float:
        """For frames [N, FRAME] at ±1 that follow those before, by the loudest half second up to their end."""
        for power in np.square(frames).mean(-1).tolist():
            self._power += _MEMORY * (power - self._power)
            self._loudest = max(self._loudest, self._power)
        if not 0 < self._loudest < _QUIET:
            return 1.0
        return float(min(_USUAL / self._loudest, _MOST) ** 0.5)
