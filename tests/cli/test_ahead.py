"""Recordings that are begun while the one before is decoded."""

import threading
from functools import partial

import pytest

from ttscribe import threads
from ttscribe.cli import _ahead
from ttscribe.cli._ahead import begun, cores_are_free
from ttscribe.errors import AudioError


class Heard:
    """Notes what is begun, and by which thread; a recording named "bad" cannot be."""

    def __init__(self):
        self.names, self.by, self.changed = [], [], threading.Condition()

    def begin(self, name):
        with self.changed:
            self.names.append(name)
            self.by.append(threading.current_thread())
            self.changed.notify_all()
        if name == "bad":
            raise AudioError("bad: no sound")
        return name.upper()

    def waits_for(self, *names):
        with self.changed:
            return self.changed.wait_for(lambda: self.names == [*names], timeout=20)


def test_the_next_is_begun_once_the_one_before_was_taken_and_none_after_it():
    heard = Heard()
    first, second, third = begun(["a", "b", "c"], heard.begin, ahead=True)
    assert heard.waits_for("a")
    assert first() == "A"
    assert heard.waits_for("a", "b")
    assert second() == "B"
    assert heard.waits_for("a", "b", "c")
    assert third() == "C"
    assert threading.current_thread() not in heard.by


def test_what_cannot_be_begun_says_so_in_its_turn_and_the_others_are_begun():
    heard = Heard()
    first, second, third = begun(["a", "bad", "c"], heard.begin, ahead=True)
    assert first() == "A"
    assert heard.waits_for("a", "bad")
    with pytest.raises(AudioError, match="no sound"):
        second()
    assert third() == "C"


@pytest.mark.parametrize(("names", "ahead"), [(["a", "b"], False), (["a"], True)])
def test_else_each_is_begun_where_it_is_asked_for(names, ahead):
    heard = Heard()
    given = begun(names, heard.begin, ahead=ahead)
    assert heard.names == []
    assert [each() for each in given] == [name.upper() for name in names]
    assert set(heard.by) == {threading.current_thread()}


@pytest.mark.parametrize(
    ("device", "used", "free"),
    [("cpu", 4, False), ("cpu", 3, True), ("emulator", 4, False), ("cuda", 4, True), ("ttnn:n150", 4, True)],
)
def test_cores_are_free_where_the_device_leaves_some(monkeypatch, device, used, free):
    monkeypatch.setattr(_ahead, "cores", lambda: 4)
    monkeypatch.setattr(threads, "count", lambda: used)
    assert cores_are_free(device) == free


@pytest.fixture
def command(ttscribe, tmp_path, speech):
    files = [str(speech / "audio" / f"ps-cards-00{at}.flac") for at in (1, 2, 3)]
    return partial(ttscribe, "transcribe", files[0], str(tmp_path / "none.wav"), *files[1:], "--model", "tiny.en")


def test_recordings_that_are_begun_ahead_come_out_in_order(command, monkeypatch):
    def said(*, ahead):
        monkeypatch.setattr("ttscribe.cli.transcribe.cores_are_free", lambda _: ahead)
        result = command()
        lines = [line for line in result.stderr.splitlines() if line.startswith("==>") or "none.wav" in line]
        return result.exit_code, result.stdout, lines

    assert said(ahead=True) == said(ahead=False)
    assert said(ahead=True)[0] == 1
