"""Many recordings: what is written, and what is left to do, whatever dies."""

import json
import os
import random
import signal
import subprocess
import threading
import time
import zipfile
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from batch.conftest import LOAD, PIECES, SECONDS, batch, index
from cli.conftest import COMMAND
from sounds import write_wav
from ttscribe import TranscriptionInfo, load_model
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.batch import Entry, Index, Item, Plan, Processes, run
from ttscribe.batch import workers as workers_module
from ttscribe.batch.doing import Done
from ttscribe.batch.workers import Process
from ttscribe.cli._jobs import Job
from ttscribe.cli.batch import _left
from ttscribe.errors import ModelNotFound, OutputError

pytestmark = pytest.mark.xdist_group("batch")


def test_every_recording_is_written_and_indexed_once_and_a_bad_one_fails_alone(folder, texts, tmp_path, ttscribe):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"path\n{bad}\n")
    output = tmp_path / "out"
    done = batch(folder, manifest, "--output", output, "--format", "vtt", "--workers", 2)
    assert done.returncode == 1
    assert f"{PIECES} done, 1 failed" in done.stderr
    assert "Traceback" not in done.stderr
    entries = {entry.source: entry for entry in index(output)}
    assert {source: entry.text for source, entry in entries.items() if entry.error is None} == texts
    assert "not audio" in entries[str(bad)].error
    first = entries[str(folder / "1.wav")]
    assert (first.model, first.device, first.precision, first.language) == ("tiny.en", "cpu", "float32", "en")
    assert first.seconds == pytest.approx(SECONDS, abs=0.1)
    assert (output / "1.vtt").read_text(encoding="utf-8").startswith("WEBVTT")

    again = ttscribe("batch", folder, "--output", output, "--model", "tiny.en", "--offline")
    assert again.exit_code == 1
    assert "--resume goes on with it" in again.stderr
    (output / "1.vtt").unlink()
    resumed = batch(folder, "--output", output, "--format", "vtt", "--resume")
    assert resumed.returncode == 0
    assert f"passed over {PIECES - 1} of {PIECES}" in resumed.stderr
    assert (output / "1.vtt").is_file()
    assert len(index(output)) == PIECES + 2

    other = tmp_path / "1.wav"
    other.write_bytes((folder / "1.wav").read_bytes())
    more = ("--format", "vtt", "--resume", "--model", "tiny.en", "--offline")
    refused = ttscribe("batch", other, "--output", output, *more)
    assert refused.exit_code == 1
    assert f"is the transcript of {folder / '1.wav'}: name another folder" in refused.stderr


def test_what_is_left_is_what_has_not_the_very_transcript_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = [Entry("a.wav", "a.txt"), Entry("b.wav", "b.txt", "it was damaged"), Entry("c.wav", "c.txt")]
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
    jobs = [Job(str(tmp_path / f"{name}.wav"), tmp_path / f"{name}.txt") for name in "abcd"]
    items, passed_over = _left(jobs, before)
    assert [item.output.name for item in items] == ["b.txt", "c.txt", "d.txt"]
    assert passed_over == 1
    assert _left([Job("a.wav", tmp_path / "a.srt")], before)[1] == 0


def items(folder, output):
    return [Item(str(path), output / f"{path.stem}.txt") for path in sorted(folder.rglob("*.wav"))]


def workers(parent=None):
    """Processes of the parent's, or of this one's, that multiprocessing has spawned, but for its tracker."""
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.Error):  # it has ended since
            if any("spawn_main" in argument for argument in child.cmdline()):
                found.append(child.pid)
    return found


def test_a_recording_whose_worker_is_killed_is_done_by_another(folder, texts, tmp_path):
    settled = run(items(folder, tmp_path), Processes(Plan(LOAD, {}, "txt")), 1)
    first = next(settled)
    (pid,) = workers()
    os.kill(pid, signal.SIGKILL)
    entries = [first, *settled]
    assert {entry.source: entry.text for entry in entries} == texts
    assert sorted(entry.attempts for entry in entries) == [1] * (PIECES - 1) + [2]
    assert workers() == []


@pytest.fixture(scope="module")
def long(two_cities, tmp_path_factory):
    """36 s of read English in pieces, with 7 s of silence between, in one file; and the text that one worker writes."""
    samples = load_audio(two_cities)
    pieces = [samples[at * 12 * SAMPLE_RATE : (at + 1) * 12 * SAMPLE_RATE] for at in range(3)]
    pause = np.zeros(7 * SAMPLE_RATE, np.float32)
    whole = np.concatenate([part for piece in pieces for part in (piece, pause)][:-1])
    path = write_wav(tmp_path_factory.mktemp("long") / "long.wav", whole)
    segments, _ = load_model(**LOAD).transcribe(path)
    return path, [(segment.start, segment.end, segment.text) for segment in segments]


def test_workers_share_a_long_recording_and_a_part_whose_worker_is_killed_is_done_by_another(long, folder, tmp_path):
    path, whole = long
    items = [Item(str(path), tmp_path / "long.json"), Item(str(folder / "1.wav"), tmp_path / "1.json")]
    killed = []

    def kill():
        while not killed:
            for pid in workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    entries = {entry.source: entry for entry in run(items, Processes(Plan(LOAD, {}, "json")), 2, longest=20)}
    thread.join()
    found, short = entries[str(path)], entries[str(folder / "1.wav")]
    assert [tuple(segment) for segment in found.segments] == whole
    assert (found.parts, short.parts) == (3, 1)
    assert max(found.attempts, short.attempts) == 2
    assert found.seconds == pytest.approx(50, abs=0.1)
    written = json.loads((tmp_path / "long.json").read_text(encoding="utf-8"))
    assert [each["id"] for each in written["segments"]] == [*range(len(whole))]
    assert [each["text"] for each in written["segments"]] == [text for _, _, text in whole]


class Told:
    """A crew of one worker that says of each part what ``says`` has for it."""

    plan = Plan({}, {}, "txt")
    death = "killed"

    def __init__(self, says):
        self.says, self.item, self.taken = says, None, []

    def hire(self):
        return self

    def ready(self, busy):
        return busy

    def take(self, item):
        self.item = item
        self.taken.append(item.part[0])

    def result(self):
        item, self.item = self.item, None
        return self.says[item.part[0]]

    def end(self):
        pass


def test_a_recording_of_which_a_part_cannot_be_done_is_told_once_and_the_rest_of_it_left(long, tmp_path):
    path, _ = long
    done = Done(Entry(str(path), "a.txt"), (), TranscriptionInfo("m", "cpu", "int8", "transcribe", "en", 1.0, 50.0))
    crew = Told([done, Done(Entry.failed(str(path), "a.txt", "it is damaged")), done])
    (entry,) = run([Item(str(path), tmp_path / "a.txt")], crew, 1, longest=20)
    assert (entry.error, entry.parts) == ("it is damaged", 3)
    assert crew.taken == [0, 1]
    assert not (tmp_path / "a.txt").exists()


def test_split_is_in_minutes(long, tmp_path, ttscribe, monkeypatch):
    told = []

    def run(items, _crew, _workers, longest):
        told.append(longest)
        yield Entry(items[0].source, str(items[0].output), parts=3, seconds=50.0)

    monkeypatch.setattr("ttscribe.batch.run", run)
    command = ("batch", long[0], "--model", "tiny.en", "--offline")
    assert ttscribe(*command, "--output", tmp_path / "a", "--split", "0.5").exit_code == 0
    assert ttscribe(*command, "--output", tmp_path / "b").exit_code == 0
    assert told == [30.0, None]
    refused = ttscribe(*command, "--output", tmp_path / "c", "--split", "0")
    assert (refused.exit_code, refused.stderr) == (1, "ttscribe: error: --split takes minutes above 0, not 0\n")


def test_a_recording_that_no_worker_survives_is_given_up(folder, tmp_path):
    killed = []

    def kill():
        while len(killed) < 3:
            for pid in set(workers()) - set(killed):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    (entry,) = run(items(folder, tmp_path)[:1], Processes(Plan(LOAD, {}, "txt")), 1)
    thread.join()
    assert (entry.error, entry.attempts) == ("its worker died 3 times (killed by signal 9)", 3)


def test_what_keeps_all_from_being_done_is_raised(folder, tmp_path):
    with pytest.raises(ModelNotFound, match="nothing"):
        list(run(items(folder, tmp_path), Processes(Plan({**LOAD, "name_or_path": "nothing"}, {}, "txt")), 2))


@pytest.mark.parametrize("seed", range(2))
def test_after_the_command_was_killed_at_any_moment_nothing_is_lost_and_nothing_done_twice(
    seed, folder, texts, tmp_path
):
    command = [*COMMAND, "batch", str(folder), "--output", str(tmp_path), "--model", "tiny.en"]
    command += ["--precision", "float32", "--offline", "--resume"]
    # Between the first line of the index and the last, most likely.
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while not index(tmp_path) and process.poll() is None:
            time.sleep(0.02)
        time.sleep(random.Random(seed).uniform(0, 0.5))
        process.kill()
    before = index(tmp_path)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    entries = index(tmp_path)
    assert entries[: len(before)] == before
    assert sorted(entry.source for entry in entries) == sorted(texts)
    assert {entry.source: entry.text for entry in entries} == texts


@pytest.fixture
def interrupts():
    """SIGINT as a program has it that was not told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_ctrl_c_ends_it_and_its_workers_at_once(folder, tmp_path):
    # The emulator takes so long for a recording that the command cannot have ended by itself.
    command = [*COMMAND, "batch", str(folder), "--output", str(tmp_path), "--model", "tiny.en", "--offline"]
    with subprocess.Popen([*command, "--device", "emulator"], stderr=subprocess.PIPE, text=True) as process:
        while not (children := workers(process.pid)):
            time.sleep(0.02)
        time.sleep(2)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert time.monotonic() - began < 2
        said = process.stderr.read()
    assert said.endswith("ttscribe: error: interrupted\n")
    assert "Traceback" not in said
    assert not any(map(psutil.pid_exists, children))
    assert index(tmp_path) == []


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_while_a_worker_starts_is_heeded_once_it_has(monkeypatch):
    started = []

    class Starting:
        def __init__(self, **_):
            pass

        def start(self):
            os.kill(os.getpid(), signal.SIGINT)
            started.append(self)

    monkeypatch.setattr(workers_module, "_SPAWN", SimpleNamespace(Pipe=workers_module._SPAWN.Pipe, Process=Starting))
    with pytest.raises(KeyboardInterrupt):
        Process(Plan(LOAD, {}, "txt"))
    assert started


def test_recordings_in_an_archive_are_done_like_files_and_gone_on_with(folder, texts, tmp_path):
    archive, output = tmp_path / "all.zip", tmp_path / "out"
    with zipfile.ZipFile(archive, "w") as made:
        for source in texts:
            made.write(source, os.path.relpath(source, folder))
        made.writestr("bad.wav", b"no sound")
    done = batch(f"zip://::file://{archive}", "--output", output)
    assert done.returncode == 1
    assert f"{PIECES} done, 1 failed" in done.stderr
    entries = {entry.source.partition("::")[0].removeprefix("zip://"): entry for entry in index(output)}
    assert entries.pop("bad.wav").error
    assert {str(folder / name): entry.text for name, entry in entries.items()} == texts
    for entry in entries.values():
        assert " ".join(text for _, _, text in entry.segments) == entry.text
        assert all(0 <= start <= end <= entry.seconds for start, end, _ in entry.segments)
    again = batch(f"zip://::file://{archive}", "--output", output, "--resume")
    assert f"passed over {PIECES} of {PIECES + 1}" in again.stderr


def test_a_line_that_was_cut_short_is_forgotten_and_written_over(tmp_path):
    whole = Index(tmp_path)
    for number in range(2):
        whole.add(Entry(f"{number}.wav", f"{number}.txt", text="ä"))
    content = whole.path.read_bytes()
    for cut in range(len(content) // 2 + 1, len(content)):
        whole.path.write_bytes(content[:cut])
        assert [entry.source for entry in whole.entries()] == ["0.wav"]
    whole.mend()
    whole.add(Entry("2.wav", "2.txt"))
    assert [json.loads(line)["source"] for line in whole.path.read_text().splitlines()] == ["0.wav", "2.wav"]


def test_another_file_of_that_name_is_no_index(tmp_path):
    (tmp_path / "index.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(OutputError, match="is no index of ttscribe batch"):
        Index(tmp_path).entries()
