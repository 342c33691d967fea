"""What became of each recording: a file of JSON lines that one process adds to, and that a crash cannot spoil."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ttscribe import __version__
from ttscribe.errors import OutputError
from ttscribe.types import Segment

NAME = "index.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording that is done, or given up with an ``error`` of one line.

    ``seconds`` are of sound, ``work_seconds`` of the attempt that counted; ``output`` is the transcript's path;
    ``segments`` are their start and end, in seconds, and their text. Where workers shared it in ``parts``,
    ``work_seconds`` are those of all, and ``attempts`` those of the part that had the most.
    """

    source: str
    output: str
    error: str | None = None
    text: str = ""
    segments: Sequence[tuple[float, float, str]] = ()
    language: str = ""
    seconds: float = 0.0
    work_seconds: float = 0.0
    attempts: int = 1
    parts: int = 1
    model: str = ""
    device: str = ""
    precision: str = ""
    version: str = ""

    @classmethod
    def of(cls, source: str, output: str, heard: Sequence[Segment], **known: Any) -> Entry:
        """Of a recording in which these segments were heard."""
        segments = [(segment.start, segment.end, segment.text) for segment in heard]
        return cls(source, output, text=" ".join(segment.text for segment in heard), segments=segments, **known)

    @classmethod
    def failed(cls, source: str, output: str, why: str) -> Entry:
        """Of a recording that is given up; ``why`` is put in one line."""
        return cls(source, output, " ".join(why.split()), version=__version__)


class Index:
    """The index of a folder of transcripts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def entries(self) -> list[Entry]:
        """All of them; of a line that was cut short when the machine died nothing is left.

        Raises OutputError where it is no index.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OutputError(f"cannot read {self.path}: {error.strerror}") from error
        try:
            # What comes after the last line's end was not written whole.
            return [Entry(**json.loads(line)) for line in lines[:-1]]
        except (ValueError, TypeError) as error:
            raise OutputError(f"{self.path} is no index of ttscribe batch ({error}): name another folder") from error

    def mend(self) -> None:
        """Remove a line that was cut short, so that others can follow."""
        if self.path.exists():
            with self.path.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)

    def add(self, entry: Entry) -> None:
        """Have it on the disk before anything else is done. Raises OutputError where it cannot be written."""
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
