"""Speech to judge a model with: recordings of one window at most, each with what is said in it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.errors import OptionError

MANIFEST = "manifest.tsv"
_TRANSCRIPTS = "*.trans.txt"
_LONGEST_S = 30  # a window


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording of English speech, its words, and its length in seconds."""

    path: Path
    text: str
    seconds: float


def read_speech(folder: Path) -> tuple[Clip, ...]:
    """The clips that ``manifest.tsv`` lists (columns ``file``, as seen from the folder, and ``text``), or without one
    those of LibriSpeech's ``*.trans.txt`` at any depth: lines of an identifier and its text, beside IDENTIFIER.flac.

    Raises OptionError where there is neither, a recording is longer than a window, or no clip has a word; AudioError
    for a recording that cannot be used.
    """
    manifest = folder / MANIFEST
    listed = list(_listed(manifest) if manifest.is_file() else _librispeech(folder))
    if not any(text.strip() for _, text in listed):
        raise OptionError(f"{folder}: no speech; it needs {MANIFEST} (file, text) or LibriSpeech's {_TRANSCRIPTS}")
    return tuple(Clip(path, text, _seconds(path)) for path, text in listed)


def _listed(manifest: Path) -> Iterator[tuple[Path, str]]:
    with manifest.open(encoding="utf-8", newline="") as file:
        # Quotes are what somebody says, not the format's.
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if not {"file", "text"} <= set(rows.fieldnames or ()):
            raise OptionError(f"{manifest}: no columns file and text, with tabs between")
        for row in rows:
            yield manifest.parent / row["file"], row["text"] or ""


def _librispeech(folder: Path) -> Iterator[tuple[Path, str]]:
    for transcripts in sorted(folder.rglob(_TRANSCRIPTS)):
        for line in transcripts.read_text(encoding="utf-8").splitlines():
            identifier, _, text = line.partition(" ")
            yield transcripts.with_name(f"{identifier}.flac"), text


def _seconds(path: Path) -> float:
    seconds = len(load_audio(path)) / SAMPLE_RATE
    if seconds > _LONGEST_S:
        raise OptionError(f"{path}: {seconds:.0f} s, and models are judged by recordings of at most {_LONGEST_S} s")
    return seconds
