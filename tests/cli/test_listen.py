"""``ttscribe listen`` on real speech with real weights."""

import signal
import subprocess
import sys
import types
import wave

import pytest

from golden.clips import clips
from golden.errors import word_errors


@pytest.fixture
def listen(tiny):
    return ["listen", "--offline", *tiny[1:]]


@pytest.fixture(scope="module")
def pcm(beckett):
    """Options that say what the bytes are, and the bytes."""
    with wave.open(str(beckett)) as file:
        return ["--sample-rate", file.getframerate()], file.readframes(file.getnframes())


def test_what_is_said_on_standard_input_is_written_in_lines(ttscribe, listen, pcm):
    options, data = pcm
    result = ttscribe(*listen, *options, "--min-chunk", "6", "-", input=data)
    assert (result.exit_code, result.stderr) == (0, "")
    wrong, _ = word_errors(clips()["beckett"].text, result.stdout.replace("\n", " "))
    assert wrong <= 2
    assert all(line == line.strip() for line in result.stdout.splitlines())


def test_ctrl_c_ends_it_with_the_rest_of_what_was_said(start, listen, pcm):
    options, data = pcm
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with start(*listen, *options, "--threads", "1", "--min-chunk", "3", "-", **pipes) as process:
        process.stdin.write(data)
        process.stdin.flush()
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, problems = process.communicate(timeout=60)
    assert (process.returncode, problems) == (0, b"")
    wrong, _ = word_errors(clips()["beckett"].text, (first + rest).decode().replace("\n", " "))
    assert wrong <= 2


class PortAudioError(Exception):
    pass


def sounddevice(read):
    """A module of that name whose microphone gives what ``read`` does."""

    class RawInputStream:
        def __init__(self, samplerate, channels, dtype):
            assert (channels, dtype) == (1, "int16")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, frames):
            return read(frames), False

    found = types.ModuleType("sounddevice")
    found.RawInputStream, found.PortAudioError = RawInputStream, PortAudioError
    return found


def absent(*_, **__):
    raise PortAudioError("Error querying device -1")


def test_a_microphone_is_heard_until_it_gives_no_more(ttscribe, listen, pcm, monkeypatch):
    options, data = pcm
    remaining = [data]

    def read(frames):
        return remaining.pop() if remaining else absent()

    monkeypatch.setitem(sys.modules, "sounddevice", sounddevice(read))
    result = ttscribe(*listen, *options, "--min-chunk", "10", "--quiet")
    assert result.stdout.startswith("Ever tried")
    gone = "ttscribe: error: the microphone gives no more sound: Error querying device -1\n"
    assert (result.exit_code, result.stderr) == (1, gone)


def test_without_a_package_for_the_microphone_one_line_says_what_to_do(ttscribe, listen, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = ttscribe(*listen)
    problem = "the microphone needs sounddevice: install ttscribe with its extra 'microphone' (docs/install.md)"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"ttscribe: error: {problem}\n")


def test_without_a_microphone_one_line_says_what_to_do(ttscribe, listen, monkeypatch):
    module = sounddevice(absent)
    module.RawInputStream = absent
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    result = ttscribe(*listen)
    problem = "no microphone can be opened (Error querying device -1): connect one, or give sound to ttscribe listen -"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"ttscribe: error: {problem}\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["talk.wav"], "listen takes - for standard input, or nothing: for a file, ttscribe transcribe talk.wav"),
        (["--sample-rate", "0", "-"], "--sample-rate must be above 0 Hz, not 0"),
        (["--min-chunk", "0", "-"], "min_chunk must be 0.1 to 10 s, not 0.0"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_in_one_line(ttscribe, listen, arguments, problem):
    result = ttscribe(*listen, *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"ttscribe: error: {problem}\n")
