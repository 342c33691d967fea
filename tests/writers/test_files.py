"""Transcript files are whole or not there."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from ttscribe.errors import OptionError, OutputError
from ttscribe.writers import check_writable, write_transcript

SLOW = """
import sys, time
from ttscribe.types import Segment, TranscriptionInfo
from ttscribe.writers import write_transcript

def segments():
    yield Segment(0, 0.0, 1.0, "first", (), 0.0, 0.0)
    print("begun", flush=True)
    time.sleep(60)

write_transcript(sys.argv[1], "srt", segments(), TranscriptionInfo("m", "cpu", "float32", "transcribe", "en", 1.0, 9.0))
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def broken(segments, error):
    yield segments[0]
    raise error


def test_a_new_file_replaces_the_old(tmp_path, segments, info):
    path = tmp_path / "talk.txt"
    path.write_text("old")
    write_transcript(path, "txt", segments, info)
    assert path.read_text(encoding="utf-8").splitlines() == [segment.text for segment in segments]
    assert names(tmp_path) == ["talk.txt"]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path, segments, info):
    (tmp_path / "ordinary").touch()
    write_transcript(tmp_path / "talk.txt", "txt", segments, info)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_link_is_written_through(tmp_path, segments, info):
    (tmp_path / "link.txt").symlink_to("talk.txt")
    write_transcript(tmp_path / "link.txt", "txt", segments, info)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "talk.txt").read_text(encoding="utf-8").startswith("It was")


@pytest.mark.parametrize("error", [RuntimeError("decoder"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_failure_on_the_way_leaves_the_old_file(tmp_path, segments, info, error):
    path = tmp_path / "talk.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_transcript(path, "txt", broken(segments, error), info)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["talk.txt"]


def test_a_process_killed_on_the_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "talk.srt"
    path.write_text("old")
    with subprocess.Popen([sys.executable, "-c", SLOW, path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["talk.srt"]


def test_text_that_cannot_be_encoded_leaves_no_trace(tmp_path, segments, info):
    unpaired = [type(segments[0])(0, 0.0, 1.0, "\ud800", (), 0.0, 0.0)]
    with pytest.raises(UnicodeEncodeError):
        write_transcript(tmp_path / "talk.txt", "txt", unpaired, info)
    assert names(tmp_path) == []


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path, segments, info):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    places = {
        tmp_path / "absent" / "talk.txt": "No such file or directory",
        tmp_path / "file" / "talk.txt": "Not a directory",
        tmp_path / "folder": "is a folder",
        tmp_path / f"{'long' * 100}.txt": "name too long",
    }
    for place, reason in places.items():
        with pytest.raises(OutputError, match=reason) as caught:
            write_transcript(place, "txt", broken(segments, AssertionError("work was done")), info)
        assert str(place) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_folder_without_permission_is_refused(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        check_writable(tmp_path / "talk.txt")


def test_checking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "talk.txt")
    assert names(tmp_path) == []


def test_an_unknown_format_writes_nothing(tmp_path, segments, info):
    with pytest.raises(OptionError):
        write_transcript(tmp_path / "talk.docx", "docx", segments, info)
    assert names(tmp_path) == []
