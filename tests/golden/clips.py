"""Recordings that every clone can have: in packages, joined from those with silences, or synthesised.

``manifest.tsv`` lists them. ``package`` is a requirement such as "moonshine-voice==0.1.5" and ``path`` a file in it,
"debian:NAME" and a file in that package, or "made" and a recipe: names of clips, seconds of silence, and
"noise:SECONDS:SEED", one after another. ``sha256`` is of the file, or of the samples of what is made.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.types import Samples

FOLDER = Path(__file__).parent
MANIFEST = FOLDER / "manifest.tsv"
# Debian's packages: where they are installed, and where scripts/setup-speech unpacks them.
INSTALLED, UNPACKED = Path("/"), FOLDER.parents[1] / ".venv" / "share"
FIELDS = ("name", "package", "path", "language", "kind", "seconds", "sha256", "text")
NOISE_PEAK = 0.1


class Absent(Exception):
    """A recording is not on this machine."""


@dataclass(frozen=True)
class Clip:
    """A line of the manifest.

    ``kind`` is "read" (English, read aloud), "short" (English, a few words), "other" (another language), "long" (over
    30 s) or "noise" (no speech). ``text`` is what is said.
    """

    name: str
    package: str
    path: str
    language: str
    kind: str
    seconds: float
    sha256: str
    text: str

    def audio(self) -> Path | Samples:
        """The file, or samples at 16 kHz; raises Absent, and ValueError where it is another recording."""
        found, digest = self.found()
        if digest != self.sha256:
            raise ValueError(f"{self.name}: {self.package} has another recording than the golden tokens are of")
        return found

    def samples(self) -> Samples:
        """As ``audio``, always at 16 kHz."""
        return _samples(self.audio())

    def found(self) -> tuple[Path | Samples, str]:
        """What is here under the clip's name, and its SHA-256."""
        if self.package == "made":
            samples = np.concatenate([*_parts(self.path)])
            return samples, hashlib.sha256(samples.tobytes()).hexdigest()
        path = self._debian() if self.package.startswith("debian:") else self._installed()
        return path, _digest(path)

    def as_found(self) -> "Clip":
        """The clip with the length and the SHA-256 of what is here."""
        audio, digest = self.found()
        return replace(self, seconds=round(len(_samples(audio)) / SAMPLE_RATE, 2), sha256=digest)

    def _installed(self) -> Path:
        name, _, version = self.package.partition("==")
        try:
            package = distribution(name)
        except PackageNotFoundError:
            raise Absent(f"package {self.package} is not installed: make env") from None
        if package.version != version:
            raise Absent(f"{name} {package.version} is installed, not {version}: make env")
        return Path(str(package.locate_file(self.path)))

    def _debian(self) -> Path:
        package = self.package.removeprefix("debian:")
        for place in (INSTALLED / self.path, UNPACKED / package / self.path):
            # Its version is the system's choice.
            if place.is_file() and self.sha256 in ("", _digest(place)):
                return place
        raise Absent(f"Debian's {package} is not here, or has another recording: scripts/setup-speech")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _samples(audio: Path | Samples) -> Samples:
    return load_audio(audio) if isinstance(audio, Path) else audio


def _parts(recipe: str) -> Iterator[Samples]:
    for part in recipe.split():
        kind, *numbers = part.split(":")
        if kind == "noise":
            yield _noise(float(numbers[0]), int(numbers[1]))
        elif part.replace(".", "").isdigit():
            yield np.zeros(round(float(part) * SAMPLE_RATE), np.float32)
        else:
            yield _samples(clips()[part].found()[0])


def _noise(seconds: float, seed: int) -> Samples:
    """White noise: raw bits, which NumPy promises never to change for a seed, as it does not of its distributions."""
    raw = np.random.PCG64(seed).random_raw(round(seconds * SAMPLE_RATE))
    return ((raw >> np.uint64(40)) / 2**23 - 1).astype(np.float32) * np.float32(NOISE_PEAK)


@cache
def clips() -> dict[str, Clip]:
    """Every clip of the manifest by name."""
    with MANIFEST.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file, delimiter="\t")]
    return {row["name"]: Clip(**{**row, "seconds": float(row["seconds"])}) for row in rows}


def write_manifest(found: dict[str, Clip]) -> None:
    with MANIFEST.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(FIELDS)
        for clip in found.values():
            writer.writerow([f"{clip.seconds:.2f}" if field == "seconds" else getattr(clip, field) for field in FIELDS])
