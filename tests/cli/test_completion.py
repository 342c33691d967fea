"""What shells complete."""

import os
import subprocess
import sys

import pytest

from ttscribe.cli import _completion as completion
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.settings import POLICIES
from ttscribe.devices import DEVICES, cpu, cuda
from ttscribe.whisper.checkpoints import hub
from ttscribe.whisper.languages import LANGUAGES

COMPLETE = """
source <(_TTSCRIBE_COMPLETE=source_bash ttscribe)
complete -p ttscribe > /dev/null || exit 1
COMP_WORDS=(ttscribe "$@")
COMP_CWORD=$#
_ttscribe_completion ttscribe
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(tmp_path):
    """What bash proposes for the last of these words, with the script that the command prints."""
    command = tmp_path / "ttscribe"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from ttscribe.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(*words: str) -> list[str]:
        bash = ["bash", "--norc", "-c", COMPLETE, "bash", *words]
        return subprocess.run(bash, env=environment, capture_output=True, text=True, check=True).stdout.split()

    return run


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["tr"], ["transcribe"]),
        (["transcribe", "--model", "distil-large"], [name for name in hub.MODELS if name.startswith("distil-large")]),
        (["transcribe", "--language", "ger"], ["german"]),
        (["transcribe", "--device", "emu"], ["emulator", "emulator:kernels"]),
        (["transcribe", "--format", "s"], ["srt"]),
        (["transcribe", "--model", "base", "ta"], []),  # then bash itself proposes files
    ],
    ids=lambda value: value[-1] if value else "files",
)
def test_bash_proposes(complete, words, proposed):
    assert complete(*words) == proposed


def test_every_device_board_and_precision_is_proposed():
    boards = {f"ttnn:{board}" for board in BOARDS}
    assert {*completion.devices()} == {*DEVICES, "emulator:kernels", *boards}
    assert {*completion.precisions()} == {"auto", *cpu.PRECISIONS, *cuda.PRECISIONS, *POLICIES}


def test_every_model_and_language_is_proposed():
    models, languages = dict(completion.models()), dict(completion.languages())
    assert {*hub.MODELS, *hub.ALIASES} <= {*models}
    assert {*LANGUAGES, *LANGUAGES.values()} == {*languages}
