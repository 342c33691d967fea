"""Which recordings are meant: files, folders, patterns and manifests, each recording once and in a settled order."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ttscribe.errors import OptionError

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


def _expanded(one: str) -> list[str]:
    path = Path(one)
    if path.is_dir():
        return _some(one, (str(file) for file in path.rglob("*") if file.suffix.lower() in MEDIA and file.is_file()))
    if path.suffix.lower() in _READERS and path.is_file():
        return _manifest(path)
    if glob.has_magic(one) and not path.exists():
        return _some(one, (name for name in glob.glob(one, recursive=True) if Path(name).is_file()))  # noqa: PTH207
    return [one]


def _some(one: str, found: Iterable[str]) -> list[str]:
    names = sorted(found)
    if not names:
        raise OptionError(f"{one}: no recordings there; name a folder or pattern that has some")
    return names


def _manifest(path: Path) -> list[str]:
    """Its recordings; relative paths begin at the manifest's own folder."""
    try:
        rows = list(_READERS[path.suffix.lower()](path))
    except (OSError, ValueError, csv.Error) as error:
        raise OptionError(f"{path}: not a manifest that can be read: {error}") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, str) or not row:
            raise OptionError(f"{path}: row {number} has no {COLUMN!r}, which must name a recording")
    if not rows:
        raise OptionError(f"{path}: the manifest has no rows")
    return [str(path.parent / row) for row in rows if isinstance(row, str)]


def _csv(path: Path) -> Iterator[object]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield row.get(COLUMN)


def _json_lines(path: Path) -> Iterator[object]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            row = json.loads(line)
            yield row.get(COLUMN) if isinstance(row, dict) else None


_READERS = {".csv": _csv, ".jsonl": _json_lines}
