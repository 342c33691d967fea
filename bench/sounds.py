"""Recordings that measurements and tests write."""

from __future__ import annotations

import wave
from pathlib import Path

from ttscribe.audio import SAMPLE_RATE
from ttscribe.types import Samples


def write_wav(path: Path, samples: Samples) -> Path:
    """Mono floats at 16 kHz as a file of 16 bits; gives its path."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path
