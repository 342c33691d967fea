"""Streams that can only be read, as files that can be sought in."""

import io
import tempfile
from types import TracebackType
from typing import Any, BinaryIO

from ttscribe.errors import AudioUnreadable, OutputError, TtscribeError

HEAD_BYTES = 1 << 26
"""Read at once and held in memory, 64 MiB; what follows is kept on disk, and read only when it is asked for."""

_PIECE = 1 << 16  # bytes


def read_piece(stream: BinaryIO, label: str, count: int = _PIECE) -> bytes:
    """Up to ``count`` bytes of a caller's stream, none at its end; AudioUnreadable where it gives none of its own."""
    try:
        data: Any = stream.read(count)
    except (OSError, ValueError) as error:
        raise AudioUnreadable(f"{label}: cannot be read ({error})") from error
    if not isinstance(data, bytes):
        raise AudioUnreadable(f"{label}: gives {type(data).__name__}, not bytes; open it in binary mode")
    return data


def temporary_file() -> Any:
    """A file without a name that is in memory while it is small; the folder is that of TMPDIR."""
    return tempfile.SpooledTemporaryFile(max_size=HEAD_BYTES)


def no_room(label: str, error: OSError) -> OutputError:
    """What to say where a temporary file cannot be written."""
    return OutputError(
        f"{label}: no room for a temporary file in {tempfile.gettempdir()} ({error.strerror}); set TMPDIR to a folder "
        "with more"
    )


class Spool:
    """What was read of ``stream`` so far, with more to come until ``end``; made at the start of a ``with`` block.

    A stream that does not end is read no further than its decoder wants. The decoder is not where errors of reading can
    be raised: the stream seems to end there, and the end of the block raises AudioUnreadable or OutputError.
    """

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream, self._label = stream, label
        self._file = temporary_file()
        self._position = self._held = 0
        self._ended = False
        self._failure: TtscribeError | None = None

    def __enter__(self) -> "Spool":  # noqa: PYI034 - Python 3.10 has no Self
        self._fetch(HEAD_BYTES)
        if self._failure:
            self._file.close()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._failure:
            raise self._failure

    @property
    def length(self) -> int | None:
        """In bytes; None while it is not known."""
        return self._held if self._ended else None

    def end(self) -> None:
        """Take what was read so far for all of it."""
        self._ended = True

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes from the position on, fewer only at the end."""
        self._fetch(self._position + count)
        self._file.seek(self._position)
        data: bytes = self._file.read(count)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, from the end only when the length is known; the place in bytes from the start."""
        self._position = offset + (self._held if whence == io.SEEK_END else 0)
        return self._position

    def _fetch(self, until: int) -> None:
        self._file.seek(0, io.SEEK_END)
        try:
            while not self._ended and self._held < until:
                data = read_piece(self._stream, self._label)
                self._file.write(data)
                self._held += len(data)
                self._ended = not data
        except OSError as error:
            self._failure = no_room(self._label, error)
        except AudioUnreadable as error:
            self._failure = error
        self._ended |= self._failure is not None
