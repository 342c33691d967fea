"""Files that appear whole or not at all. Transcripts, which are written by the same code, have more tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ttscribe.errors import OutputError
from ttscribe.files import TEMPORARY, cache_folder, make_folder, replacing, write_text

SLOW = """
import sys, time
from pathlib import Path
from ttscribe.files import replacing

with replacing(Path(sys.argv[1])) as new:
    new.write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "weights.tensorbin"
    path.write_text("old")
    return path


def test_the_old_file_stays_until_the_new_one_is_complete(old: Path) -> None:
    with replacing(old) as new:
        new.write_text("new")
        assert (new.parent, new.suffix) == (old.parent, old.suffix)
        assert old.read_text() == "old"
    assert old.read_text() == "new"
    assert names(old.parent) == [old.name]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_old_file(old: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with replacing(old) as new:
            new.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert old.read_text() == "old"
    assert names(old.parent) == [old.name]


def test_a_process_that_is_killed_leaves_the_old_file_and_a_temporary_one(old: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW, old], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGKILL)
    assert old.read_text() == "old"
    assert [name.startswith(TEMPORARY) for name in names(old.parent)] == [True, False]


def test_links_and_permissions_are_replaced_too(old: Path) -> None:
    with replacing(old) as new:
        new.symlink_to("elsewhere")
    assert old.readlink() == Path("elsewhere")
    with replacing(old) as new:
        new.touch()
        new.chmod(0o755)
    assert os.access(old, os.X_OK)


@pytest.mark.parametrize("place", ["absent/file.txt", "file/file.txt", "folder"])
def test_a_place_that_cannot_be_written_is_named_in_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as caught:
        write_text(tmp_path / place, "text")
    assert str(caught.value).startswith(f"cannot write {tmp_path / place}: ")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file", "folder"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=f"cannot make the folder {tmp_path}/file/folder: "):
        make_folder(tmp_path / "file" / "folder")


def test_the_cache_folder_is_the_systems_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TTSCRIBE_CACHE", raising=False)
    assert cache_folder() == tmp_path / "ttscribe"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TTSCRIBE_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
