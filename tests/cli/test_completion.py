"""What shells complete."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from ttscribe.cli import _completion as completion
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.settings import POLICIES
from ttscribe.devices import DEVICES, cpu, cuda
from ttscribe.whisper.checkpoints import hub
from ttscribe.whisper.languages import LANGUAGES

# What a shell runs that loads the script which the command prints, and prints what it proposes for the last word.
SHELLS = {
    "bash": [
        *("bash", "--norc", "-c"),
        """
        source <(_TTSCRIBE_COMPLETE=source_bash ttscribe)
        complete -p ttscribe > /dev/null || exit 1
        COMP_WORDS=(ttscribe "$@")
        COMP_CWORD=$#
        _ttscribe_completion ttscribe
        printf '%s\\n' "${COMPREPLY[@]}"
        """,
        "bash",
    ],
    # fish's own command for it.
    "fish": [
        *("fish", "--no-config", "-c"),
        """
        _TTSCRIBE_COMPLETE=source_fish ttscribe | source
        complete -C "ttscribe $argv"
        """,
    ],
    # zsh proposes in an editor only: what the script gives to zsh's _arguments, a description and a list, is read here.
    "zsh": [
        *("zsh", "-f", "-c"),
        """
        compdef() { [[ $1 == _ttscribe_completion && $2 == ttscribe ]] || exit 1 }
        _arguments() { eval "print -rl ${${1#*\\(\\(}%))}" }
        _files() { }
        source <(_TTSCRIBE_COMPLETE=source_zsh ttscribe)
        words=(ttscribe "$@")
        CURRENT=$#words
        _ttscribe_completion
        """,
        "zsh",
    ],
}


def _without_description(line, shell):
    """It stands behind a tab in fish; in zsh behind a colon, and a colon of the word's own has a backslash."""
    if shell == "zsh":
        return re.split(r"(?<!\\):", line)[0].replace("\\:", ":")
    return line.split("\t")[0]


@pytest.fixture(params=SHELLS)
def complete(tmp_path, request):
    """What a shell proposes for the last of these words."""
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} is installed")
    command = tmp_path / "ttscribe"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from ttscribe.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def run(*words: str) -> list[str]:
        shell = [*SHELLS[request.param], *words]
        done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
        return [_without_description(line, request.param) for line in done.stdout.splitlines() if line]

    return run


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["tr"], ["transcribe"]),
        (["transcribe", "--model", "distil-large"], [name for name in hub.MODELS if name.startswith("distil-large")]),
        (["transcribe", "--language", "ger"], ["german"]),
        (["transcribe", "--device", "emu"], ["emulator", "emulator:kernels"]),
        (["transcribe", "--format", "s"], ["srt"]),
        (["transcribe", "--model", "base", "ta"], []),  # then the shell itself proposes files
    ],
    ids=lambda value: value[-1] if value else "files",
)
def test_a_shell_proposes(complete, words, proposed):
    assert complete(*words) == proposed


def test_every_device_board_and_precision_is_proposed():
    boards = {f"ttnn:{board}" for board in BOARDS}
    assert {*completion.devices()} == {*DEVICES, "emulator:kernels", *boards}
    assert {*completion.precisions()} == {"auto", *cpu.PRECISIONS, *cuda.PRECISIONS, *POLICIES}


def test_every_model_and_language_is_proposed():
    models, languages = dict(completion.models()), dict(completion.languages())
    assert {*hub.MODELS, *hub.ALIASES} <= {*models}
    assert {*LANGUAGES, *LANGUAGES.values()} == {*languages}
