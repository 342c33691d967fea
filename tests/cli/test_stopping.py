"""Ctrl-C and SIGTERM, at every stage of a command, as people and their systems send them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from terminals import everything_shown

LONGEST = 2  # seconds from the signal to the end
LINES = {signal.SIGINT: b"ttscribe: error: interrupted\n", signal.SIGTERM: b"ttscribe: error: terminated\n"}

STARTED = "from ttscribe.cli import main; print(flush=True); main()"

# In place of a command: hashing that takes a minute, in one call to C, while a file is not whole yet.
BUSY = """
import hashlib, sys
from pathlib import Path
from ttscribe import cli
from ttscribe.cli import app
from ttscribe.files import replacing

def run():
    with replacing(Path(sys.argv[1])) as new:
        new.write_text("half of it")
        print(flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)

app.run = run
cli.main()
"""

LONG_ENDING = """
import time
from ttscribe import cli
from ttscribe.cli import app

def run():
    try:
        print(flush=True)
        time.sleep(60)
    finally:
        print(flush=True)
        time.sleep(60)

app.run = run
cli.main()
"""

# In place of a command: what PyTorch does where the import of NumPy is interrupted.
WARNING = """
import time, warnings
from ttscribe import cli
from ttscribe.cli import app

def run():
    try:
        print(flush=True)
        time.sleep(60)
    except BaseException:
        warnings.warn("Failed to initialize NumPy")
    time.sleep(60)

app.run = run
cli.main()
"""


@pytest.fixture
def run():
    """Start Python with these arguments, where signals are heard.

    Where the tests run in the background, the shell has them ignore Ctrl-C, and their children inherit that.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    return lambda *command, **options: subprocess.Popen(
        [sys.executable, "-c", *map(str, command)], **(pipes | heard | options)
    )


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT) -> None:
    """Send the signal; the process ends in time, with one line and its status."""
    began = time.perf_counter()
    process.send_signal(number)
    assert process.stderr.read() == LINES[number]
    assert process.wait() == 128 + number
    assert time.perf_counter() - began < LONGEST


@pytest.mark.parametrize("moment", [0.03, 0.2, 0.5, 0.9], ids=lambda moment: f"{moment} s")
def test_ctrl_c_while_it_starts_and_loads(run, tiny, two_cities, moment):
    with run(STARTED, *tiny, two_cities) as process:
        process.stdout.readline()
        time.sleep(moment)
        stop(process)


def test_while_standard_input_is_waited_for_and_finished_files_stay(run, tiny, beckett, tmp_path):
    arguments = ("--quiet", "--output-dir", tmp_path, beckett, "-")
    with run(STARTED, *tiny, *arguments, stdin=subprocess.PIPE) as process:
        while not (tmp_path / "beckett.txt").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        stop(process, signal.SIGTERM)
    assert [path.name for path in tmp_path.iterdir()] == ["beckett.txt"]
    assert (tmp_path / "beckett.txt").read_text().endswith("Fail better.\n")


def test_while_it_decodes_what_was_written_stays_and_the_bar_goes(run, tiny, two_cities):
    terminal, other_side = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with run(STARTED, *tiny, "--format", "vtt", two_cities, stderr=other_side, env=environment) as process:
        os.close(other_side)
        assert process.stdout.readline() == b"\n"
        assert process.stdout.readline() == b"WEBVTT\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        shown = everything_shown(terminal)
    assert process.returncode == 130
    assert "two_cities.wav" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    assert shown.endswith("ttscribe: error: interrupted\r\n")


@pytest.mark.parametrize("number", LINES)
def test_while_python_waits_for_code_in_c_no_half_of_a_file_stays(run, tmp_path, number):
    with run(BUSY, tmp_path / "out.txt") as process:
        process.stdout.readline()
        time.sleep(0.1)
        assert [path.suffix for path in tmp_path.iterdir()] == [".txt"]
        stop(process, number)
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_goes_on_after_it_does_not_warn_of_it(run):
    with run(WARNING) as process:
        process.stdout.readline()
        stop(process)


def test_a_second_ctrl_c_ends_at_once_what_takes_long_to_end(run):
    with run(LONG_ENDING) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.readline()
        began = time.perf_counter()
        stop(process)
        assert time.perf_counter() - began < 0.5


def test_a_reader_of_errors_that_reads_nothing_does_not_hold_it_up(run, tmp_path):
    with run(f"import os; os.write(2, bytes(1 << 16)); {BUSY}", tmp_path / "out.txt") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(LONGEST) == 130


def test_what_the_caller_has_it_ignore_is_ignored(run):
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with run(STARTED, "models", **ignored) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read().startswith(b"NAME")
    assert process.returncode == 0
