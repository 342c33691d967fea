"""Start-up, usage errors, and ways in which a run is cut short."""

import math
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ttscribe import __version__

PROBE = """
import sys
from ttscribe.cli import main
sys.argv = ["ttscribe", *sys.argv[1:]]
try:
    main()
finally:
    print([name for name in ("torch", "av", "numpy", "rich") if name in sys.modules], file=sys.stderr)
"""


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["transcribe", "--help"]], ids=" ".join)
def test_help_imports_nothing_that_is_slow(arguments):
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def waited_for_a_processor(pid: int) -> float:
    """Seconds that an ended process spent ready to run while others had the processors; only Linux tells."""
    told = Path(f"/proc/{pid}/schedstat")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return int(told.read_text().split()[1]) / 1e9 if told.exists() else 0


def test_help_takes_less_than_0_3_seconds(start):
    """Of the processor and by the clock, in the best of some runs: what it waits for other programs is not its own."""
    wall = cpu = math.inf
    for _ in range(10):
        began, used = time.perf_counter(), children_cpu_seconds()
        process = start("--help", stdout=subprocess.DEVNULL)
        waited = waited_for_a_processor(process.pid)
        assert process.wait() == 0
        wall = min(wall, time.perf_counter() - began - waited)
        cpu = min(cpu, children_cpu_seconds() - used)
        if max(wall, cpu) < 0.3:
            break
    assert max(wall, cpu) < 0.3, f"{wall:.2f} s, {cpu:.2f} s of the processor"


def test_version(ttscribe):
    result = ttscribe("--version")
    assert (result.exit_code, result.stdout) == (0, f"ttscribe {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["transcribe"], "Missing argument 'FILE'"),
        (["transcribe", "a.wav", "--threads", "0"], "Invalid value for '--threads'"),
        (["transcribe", "a.wav", "--format", "docx"], "Invalid value for '--format'"),
        (["transcribe", "a.wav", "--task", "summarise"], "Invalid value for '--task'"),
        (["translate", "a.wav"], "No such command 'translate'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_has_status_2(ttscribe, arguments, problem):
    result = ttscribe(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly(start, tiny, beckett):
    reading, writing = os.pipe()
    os.close(reading)
    with start(*tiny, "--quiet", beckett, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_output_is_utf8_whatever_the_locale(start, tmp_path):
    folder = tmp_path / "модель"
    folder.mkdir()
    environment = {**os.environ, "HF_HUB_CACHE": str(folder), "PYTHONIOENCODING": "latin-1"}
    with start("doctor", stdout=subprocess.PIPE, env=environment) as process:
        assert str(folder) in process.stdout.read().decode("utf-8")
