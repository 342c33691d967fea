"""Transcript files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ttscribe.errors import OutputError
from ttscribe.writers.formats import format_writer

if TYPE_CHECKING:
    from ttscribe.types import Segment, TranscriptionInfo


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OutputError where no file could be written at ``path``; leaves nothing behind."""
    target = Path(path)
    try:
        if target.is_dir():
            raise OutputError(f"{target} is a folder; name a file")
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise OutputError(_complaint(target, error)) from error


def write_transcript(
    path: str | os.PathLike[str], format_name: str, segments: Iterable[Segment], info: TranscriptionInfo
) -> None:
    """Write a transcript to ``path``, replacing a file that is there only when the new one is complete.

    Nothing is on the disk while segments are still being computed, so that a process killed then leaves no trace.

    Raises:
        OptionError: no format is called ``format_name``.
        OutputError: the file cannot be written; where that can be known, before the first segment is computed.
    """
    writer = format_writer(format_name)
    check_writable(path)
    write_text(path, "".join(writer(segments, info)))


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those that it is in; raises OutputError where that cannot be done."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror or error}") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, all of it or nothing; raises OutputError where it cannot be written."""
    target = Path(os.path.realpath(path))
    # Not named after the target: its name may already be as long as a name may be.
    temporary = target.with_name(f".ttscribe-{secrets.token_hex(8)}")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise OutputError(_complaint(target, error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _complaint(target: Path, error: OSError) -> str:
    return f"cannot write {target}: {error.strerror or error}"
