"""Transcript files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ttscribe.errors import OutputError
from ttscribe.files import write_text
from ttscribe.writers.formats import format_writer

if TYPE_CHECKING:
    from ttscribe.types import Segment, TranscriptionInfo
    from ttscribe.writers.subtitles import SubtitleLayout


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OutputError where no file could be written at ``path``; leaves nothing behind."""
    import tempfile

    target = Path(path)
    try:
        if target.is_dir():
            raise OutputError(f"{target} is a folder; name a file")
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


def write_transcript(
    path: str | os.PathLike[str],
    format_name: str,
    segments: Iterable[Segment],
    info: TranscriptionInfo,
    layout: SubtitleLayout | None = None,
) -> None:
    """Write a transcript to ``path``, replacing a file that is there only when the new one is complete.

    ``layout`` is of subtitles, and lays out the words of segments that have them.

    Nothing is on the disk while segments are still being computed, so that a process killed then leaves no trace.

    Raises:
        OptionError: no format is called ``format_name``, or there is nothing to lay out.
        OutputError: the file cannot be written; where that can be known, before the first segment is computed.
    """
    writer = format_writer(format_name, layout)
    check_writable(path)
    write_text(path, "".join(writer(segments, info)))
