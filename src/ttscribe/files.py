"""Files that appear whole or not at all, and the folder in which ttscribe keeps what it made."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ttscribe.errors import OutputError

TEMPORARY = ".ttscribe-"
"""What the names of unfinished files begin with. Only a process that is killed leaves one."""

_unfinished: set[Path] = set()


def cache_folder() -> Path:
    """Where ttscribe keeps what it made: ``TTSCRIBE_CACHE``, or the user's cache folder of this system."""
    import platformdirs

    return Path(os.environ.get("TTSCRIBE_CACHE") or platformdirs.user_cache_dir("ttscribe")).expanduser()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside ``target``, and with its suffix: what the block puts there replaces ``target`` when it ends well.

    Others see the old file or the whole new one. Where the block raises, the new file is removed and the old one stays.

    Raises:
        OutputError: the file cannot be written; any OSError of the block becomes one.
    """
    # Beside the target, for a rename is atomic only within one file system; not named after it, whose name may already
    # be as long as a name may be.
    temporary = target.with_name(f"{TEMPORARY}{os.urandom(8).hex()}{target.suffix}")
    _unfinished.add(temporary)
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
        _unfinished.discard(temporary)


def remove_unfinished() -> None:
    """Remove what is not whole yet, where the process ends before the blocks that write it."""
    for temporary in tuple(_unfinished):
        with suppress(OSError):
            temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, through a link, all of it or nothing.

    Raises:
        OutputError: the file cannot be written.
    """
    with (
        replacing(Path(os.path.realpath(path))) as temporary,
        temporary.open("x", encoding="utf-8", newline="\n") as file,
    ):
        file.write(text)
        file.flush()
        # Or a power cut could leave the new name with no contents.
        os.fsync(file.fileno())


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those that it is in.

    Raises:
        OutputError: that cannot be done.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror or error}") from error
