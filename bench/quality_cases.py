"""What recognisers are tried on: read speech, the same made hard, and sound in which nobody speaks.

Everything that is not read from a recording is computed here from a seed, so that it is the same everywhere.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soxr

from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.types import Samples

SECONDS = 60
GAP = 40.0
"""Seconds of silence between two utterances: over a window's 30."""

_Make: TypeAlias = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True, slots=True)
class Case:
    """A recording; ``spoken`` is where it is spoken in seconds, and is empty where nobody speaks."""

    name: str
    group: str
    language: str
    samples: Samples
    text: str
    spoken: tuple[tuple[float, float], ...] = ()


def recordings(speech: Path, kinds: Sequence[str], model: str) -> Iterator[Case]:
    """The recordings of these kinds that the model knows the language of."""
    for row in _rows(speech):
        if row["kind"] in kinds and (row["lang"] == "en" or not model.endswith(".en")):
            samples = load_audio(speech / row["file"])
            yield Case(row["file"], row["kind"], row["lang"], samples, row["text"])


def silent() -> Iterator[Case]:
    """A minute each of what has no words."""
    for name, make in _NOBODY.items():
        samples = make(np.random.default_rng(0)).astype(np.float32)
        yield Case(name, "nobody speaks", "en", samples, "")


def hard(speech: Path, utterances: int) -> Iterator[Case]:
    """Read utterances one after another, with half a second between, made hard in one way each."""
    rows = [row for row in _rows(speech) if row["kind"] == "utt"][:: max(1, 91 // utterances)][:utterances]
    pieces = [load_audio(speech / row["file"]) for row in rows]
    text = " ".join(row["text"] for row in rows)
    joined, spoken = join(pieces, 0.5)
    for name, change in _CHANGES.items():
        yield Case(name, "hard speech", "en", change(joined).astype(np.float32), text, spoken)
    gapped, spoken = join(pieces[:4], GAP)
    yield Case(
        f"{GAP:.0f} s of silence between", "hard speech", "en", gapped, " ".join(r["text"] for r in rows[:4]), spoken
    )


def joined(speech: Path, seconds: float) -> Case:
    """All English utterances and long recordings one after another, again and again, for so long."""
    rows = [row for row in _rows(speech) if row["kind"] in ("utt", "long") and row["lang"] == "en"]
    total, pieces, texts = 0.0, [], []
    while total < seconds:
        for row in rows:
            if total >= seconds:
                break
            piece = load_audio(speech / row["file"])
            pieces.append(piece)
            texts.append(row["text"])
            total += len(piece) / SAMPLE_RATE + 0.5
    samples, spoken = join(pieces, 0.5)
    return Case(f"{seconds / 3600:g} h", "joined", "en", samples, " ".join(texts), spoken)


def join(pieces: Sequence[Samples], pause: float) -> tuple[Samples, tuple[tuple[float, float], ...]]:
    """The pieces with ``pause`` seconds of digital silence between them, and where each lies."""
    silence = np.zeros(round(pause * SAMPLE_RATE), np.float32)
    parts, spoken, at = [], [], 0
    for piece in pieces:
        parts += [piece, silence]
        spoken.append((at / SAMPLE_RATE, (at + len(piece)) / SAMPLE_RATE))
        at += len(piece) + len(silence)
    return np.concatenate(parts[:-1]), tuple(spoken)


def _rows(speech: Path) -> list[dict[str, str]]:
    with (speech / "manifest.tsv").open() as manifest:
        return list(csv.DictReader(manifest, delimiter="\t"))


def _times() -> np.ndarray:
    return np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE


def _white(level: float) -> _Make:
    return lambda chance: level * chance.standard_normal(SECONDS * SAMPLE_RATE)


def _pink(chance: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(chance.standard_normal(SECONDS * SAMPLE_RATE))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0))
    return 0.1 * noise / noise.std()


def _tones(*hertz: float) -> _Make:
    return lambda _: sum((0.1 * np.sin(2 * np.pi * each * _times()) for each in hertz), np.zeros(()))


def _changing(chance: np.random.Generator) -> np.ndarray:
    """A tone of another pitch every half second."""
    pitches = np.repeat(chance.uniform(100, 2000, 2 * SECONDS), SAMPLE_RATE // 2)
    return 0.2 * np.sin(2 * np.pi * np.cumsum(pitches) / SAMPLE_RATE)


def _beeps(_: np.random.Generator) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 1000 * _times()) * (_times() % 1 < 0.2)


def _clicks(chance: np.random.Generator) -> np.ndarray:
    sound = np.zeros(SECONDS * SAMPLE_RATE)
    sound[chance.choice(len(sound), 300, replace=False)] = chance.uniform(-0.9, 0.9, 300)
    return sound


def _swelling(chance: np.random.Generator) -> np.ndarray:
    """Noise that swells four times a second, as syllables do."""
    return _white(0.1)(chance) * (1 + np.sin(2 * np.pi * 4 * _times())) / 2


def _music(chance: np.random.Generator) -> np.ndarray:
    """Notes of a scale with five harmonics that die away, three a second, above a chord."""
    times, sound = _times(), np.zeros(SECONDS * SAMPLE_RATE)
    step = SAMPLE_RATE // 3
    for start in range(0, len(sound) - step, step):
        pitch = 220 * 2 ** (chance.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
        local = times[:step]
        note = sum(np.sin(2 * np.pi * pitch * n * local) / n for n in range(1, 6))
        sound[start : start + step] += 0.1 * note * np.exp(-4 * local)
    return sound + 0.3 * _tones(110, 138.6, 164.8)(chance)


_NOBODY: Mapping[str, _Make] = {
    "digital silence": lambda _: np.zeros(SECONDS * SAMPLE_RATE),
    "white noise, -20 dB": _white(0.1),
    "white noise, -40 dB": _white(0.01),
    "white noise, -60 dB": _white(0.001),
    "pink noise": _pink,
    "mains hum": _tones(50, 100, 150, 250),
    "changing tones": _changing,
    "one tone": _tones(440),
    "a chord": _tones(261.6, 329.6, 392.0),
    "beeps": _beeps,
    "clicks": _clicks,
    "swelling noise": _swelling,
    "music": _music,
}

_CHANGES: Mapping[str, Callable[[Samples], np.ndarray]] = {
    "unchanged": lambda samples: samples,
    "-40 dB": lambda samples: samples * 0.01,
    "clipped": lambda samples: np.clip(samples * 20, -1, 1),
    "8 kHz": lambda samples: soxr.resample(soxr.resample(samples, SAMPLE_RATE, 8_000), 8_000, SAMPLE_RATE),
    "white noise, 10 dB below": lambda samples: (
        samples + np.random.default_rng(0).standard_normal(len(samples)) * samples.std() / 10**0.5
    ),
}
