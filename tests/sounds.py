"""Recordings that tests write."""

import wave

from ttscribe.audio import SAMPLE_RATE


def write_wav(path, samples):
    """Mono floats at 16 kHz as a file of 16 bits; gives its path."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path
