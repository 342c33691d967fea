"""Where transcripts go, and which are passed over."""

from pathlib import Path

import pytest

from ttscribe.cli._jobs import Job, plan, transcript_names
from ttscribe.errors import OptionError

CASES = {
    "names of their own": {"a/talk.mp4": "talk", "b/lecture.wav": "lecture", "-": "stdin"},
    "folders": {"a/talk.wav": "a/talk", "b/talk.wav": "b/talk", "b/other.wav": "other"},
    "folders, from where they part": {"x/y/1/mic/talk.wav": "1/mic/talk", "x/y/2/mic/talk.mp4": "2/mic/talk"},
    "a folder and one in it": {"x/talk.wav": "talk", "x/old/talk.wav": "old/talk"},
    "endings": {"talk.wav": "talk.wav", "talk.mp3": "talk.mp3", "lecture.v2.mp3": "lecture.v2"},
    "folders and endings": {"a/talk.wav": "a/talk.wav", "a/talk.mp3": "a/talk.mp3", "b/talk.wav": "b/talk"},
    "outside of the current folder": {"../talk.wav": "talk", "a/../b/talk.wav": f"{Path.cwd().name}/b/talk"},
}


@pytest.mark.parametrize("names", CASES.values(), ids=CASES)
@pytest.mark.parametrize("order", [1, -1], ids=["in order", "reversed"])
def test_each_recording_has_a_transcript_of_its_own(names, order):
    found = transcript_names([*names][::order])
    assert {file: name.as_posix() for file, name in found.items()} == names


def test_a_recording_that_is_named_twice_is_done_once(tmp_path):
    jobs, _ = plan(["a/talk.wav", "a/../a/talk.wav"], "txt", tmp_path, resume=False)
    assert [job.output for job in jobs] == [tmp_path / "talk.txt"]


@pytest.mark.parametrize("files", [["talk.wav", "talk.mp3", "talk.wav.flac"], ["stdin.wav", "-"], ["stdin", "-"]])
def test_names_that_clash_all_the_same_are_refused(files, tmp_path):
    with pytest.raises(OptionError, match=rf"{files[0]} and {files[-1]} would both be written to {tmp_path}"):
        plan(files, "txt", tmp_path, resume=False)


def test_what_is_there_is_passed_over(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "talk.srt").touch()
    files = ["a/talk.wav", "b/talk.wav"]
    assert plan(files, "srt", tmp_path, resume=True) == ([Job("b/talk.wav", tmp_path / "b" / "talk.srt")], 1)
    assert len(plan(files, "srt", tmp_path, resume=False)[0]) == 2
    assert len(plan(files, "vtt", tmp_path, resume=True)[0]) == 2
