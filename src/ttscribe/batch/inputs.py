"""Which recordings are meant: files, folders, patterns and manifests, each recording once and in a settled order.

Recordings are files, or in whatever storage fsspec has a protocol for: ``s3://bucket/talk.wav``,
``zip://talk.wav::talks.zip``.
"""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from ttscribe.errors import AudioNotFound, AudioUnreadable, OptionError, reason, with_extra

COLUMN = "path"
"""What a manifest calls a recording's path; its other columns are not read."""

MEDIA = frozenset(
    f".{ending}"
    for ending in (
        *("aac", "aif", "aiff", "amr", "caf", "flac", "m4a", "mka", "mp3", "oga", "ogg", "opus", "wav", "wma"),
        *("avi", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "webm", "wmv"),
    )
)
"""The endings by which recordings are found in a folder; a file that is named itself may have any."""


def recordings(inputs: Sequence[str]) -> list[str]:
    """The recordings that ``inputs`` mean, in their order, those of a folder or pattern by name.

    Raises:
        OptionError: a folder or pattern without recordings, or a manifest that cannot be read; says which and why.
    """
    return list(dict.fromkeys(path for one in inputs for path in _expanded(one)))


def is_remote(source: str) -> bool:
    """Whether it is an address of fsspec's, and no file's path."""
    return "://" in source


def place(source: str) -> str:
    """Where a recording is, however a file's path is spelled; links are not followed."""
    return source if is_remote(source) else os.path.abspath(source)  # noqa: PTH100


@contextmanager
def opened(source: str) -> Iterator[str | BinaryIO]:
    """What the recording is read from: a path, or an open file of a storage. Raises AudioError."""
    if not is_remote(source):
        yield source
        return
    import fsspec

    with ExitStack() as stack:
        try:
            file = stack.enter_context(fsspec.open(source, "rb"))
        except FileNotFoundError as error:
            raise AudioNotFound(f"{source}: no such file ({reason(error)})") from error
        except Exception as error:  # each storage's package has errors of its own
            raise AudioUnreadable(f"{source}: cannot be read ({reason(error)})") from error
        yield cast("BinaryIO", _Stored(source, file))


class _Stored:
    """An open file of a storage, whose failures are told as a recording's that cannot be read."""

    def __init__(self, source: str, file: BinaryIO) -> None:
        self._source, self._file = source, file

    def read(self, count: int = -1) -> bytes:
        try:
            return self._file.read(count)
        except Exception as error:  # each storage's package has errors of its own
            raise AudioUnreadable(f"{self._source}: cannot be read ({reason(error)})") from error

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)


def _expanded(one: str) -> list[str]:
    if is_remote(one):
        return _stored(one)
    path = Path(one)
    if path.is_dir():
        return _some(one, (str(file) for file in path.rglob("*") if file.suffix.lower() in MEDIA and file.is_file()))
    if path.suffix.lower() in _READERS and path.is_file():
        return _manifest(path)
    if glob.has_magic(one) and not path.exists():
        return _some(one, (name for name in glob.glob(one, recursive=True) if Path(name).is_file()))  # noqa: PTH207
    return [one]


def _stored(one: str) -> list[str]:
    """What a storage has there: of a folder those that it holds, of a pattern those that it fits."""
    import fsspec

    # Of a chain, such as a file in an archive, only the first address names what is looked for.
    first, *rest = one.split("::")
    try:
        storage, path = fsspec.core.url_to_fs(one)
        if glob.has_magic(first) and not storage.exists(path):
            found = [name for name, about in storage.glob(path, detail=True).items() if about["type"] != "directory"]
        elif storage.isdir(path):
            found = [name for name in storage.find(path) if PurePosixPath(name).suffix.lower() in MEDIA]
        else:
            return [one]
    except Exception as error:  # each storage's package has errors of its own
        raise OptionError(f"{one}: cannot be looked at ({reason(error)})") from error
    return _some(one, ("::".join([storage.unstrip_protocol(name), *rest]) for name in found))


def _some(one: str, found: Iterable[str]) -> list[str]:
    names = sorted(found)
    if not names:
        raise OptionError(f"{one}: no recordings there; name a folder or pattern that has some")
    return names


def _manifest(path: Path) -> list[str]:
    """Its recordings; relative paths begin at the manifest's own folder."""
    try:
        rows = list(_READERS[path.suffix.lower()](path))
    except ImportError as error:
        raise OptionError(f"{path}: Parquet needs pyarrow: {with_extra('batch')} ({reason(error)})") from error
    except (OSError, ValueError, csv.Error) as error:
        raise OptionError(f"{path}: not a manifest that can be read: {reason(error)}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, str) or not row:
            raise OptionError(f"{path}: row {number} has no {COLUMN!r}, which must name a recording")
    if not rows:
        raise OptionError(f"{path}: the manifest has no rows")
    return [row if is_remote(row) else str(path.parent / row) for row in rows if isinstance(row, str)]


def _csv(path: Path) -> Iterator[object]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield row.get(COLUMN)


def _json_lines(path: Path) -> Iterator[object]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            row = json.loads(line)
            yield row.get(COLUMN) if isinstance(row, dict) else None


def _parquet(path: Path) -> Iterator[object]:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    if COLUMN not in file.schema_arrow.names:
        raise ValueError(f"it has no column {COLUMN!r}")
    for batch in file.iter_batches(columns=[COLUMN]):
        yield from batch.column(0).to_pylist()


_READERS = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
