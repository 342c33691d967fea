"""The recordings that are transcribed: those that are named, or packaged ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.errors import AudioNotFound, with_extra
from ttscribe.types import Samples

LONG_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Clip:
    """Samples are mono float32 at 16 kHz."""

    name: str
    samples: Samples

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / SAMPLE_RATE


def clips(audio: Sequence[str]) -> list[Clip]:
    """From short to long; without ``audio`` a packaged recording of 10 s, and another made four minutes by repeating.

    Raises:
        AudioError: a recording cannot be used, or none is named and none is packaged.
    """
    found = [Clip(Path(path).name, load_audio(path)) for path in audio] or _packaged()
    return sorted(found, key=lambda clip: len(clip.samples))


def _packaged() -> list[Clip]:
    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or spec.origin is None:
        raise AudioNotFound(f"no recording comes with this installation: name one, or {with_extra('bundled')}")
    assets = Path(spec.origin).with_name("assets")
    short, long = (load_audio(assets / name) for name in ("beckett.wav", "two_cities.wav"))
    repeated = np.resize(long, LONG_SECONDS * SAMPLE_RATE)
    return [Clip("beckett.wav", short), Clip(f"two_cities.wav repeated to {LONG_SECONDS} s", repeated)]
