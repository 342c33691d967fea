"""The peers' environment, with a stand-in for what installs."""

import subprocess
from pathlib import Path

import pytest

from ttscribe.bench import environment
from ttscribe.bench.environment import environment_folder, peers_python, requirements
from ttscribe.errors import OptionError


class Installer:
    """Makes an empty Python, and notes what it is asked to install; ``stderr`` is what it fails with."""

    def __init__(self, stderr: str = ""):
        self.commands, self.stderr = [], stderr

    def __call__(self, command):
        self.commands.append(command)
        if "venv" in command:
            python = Path(command[-1], "bin", "python")
            python.parent.mkdir(parents=True)
            python.touch()
        return subprocess.CompletedProcess(command, int(bool(self.stderr)), "", self.stderr)


@pytest.fixture
def told(monkeypatch, tmp_path) -> list[str]:
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path / "cache"))
    programs(monkeypatch, "uv")
    return []


def programs(monkeypatch, *names):
    """What the machine has, of the programs that are looked for."""
    monkeypatch.setattr(environment.shutil, "which", lambda name, **_: f"/bin/{name}" if name in names else None)


def test_it_is_made_once(told):
    installer = Installer()
    python = peers_python(told.append, installer)
    assert python == environment_folder() / "bin" / "python"
    make, install = installer.commands
    assert make[-1] == str(environment_folder())
    assert install[-len(requirements()) :] == [*requirements()]
    assert any(each.startswith("torch==") for each in requirements())
    assert len(told) == 1
    assert peers_python(told.append, installer) == python
    assert (len(installer.commands), len(told)) == (2, 1)


def test_it_is_made_anew_when_something_else_is_wanted(told, monkeypatch):
    peers_python(told.append, Installer())
    (environment_folder() / "old").touch()
    monkeypatch.setattr(environment, "_PEERS", ("faster-whisper>=9",))
    installer = Installer()
    peers_python(told.append, installer)
    assert "faster-whisper>=9" in installer.commands[1]
    assert not (environment_folder() / "old").exists()


def test_without_uv_it_is_made_by_pip(told, monkeypatch):
    programs(monkeypatch)
    installer = Installer()
    python = peers_python(told.append, installer)
    make, install = installer.commands
    assert make[1:] == ["-m", "venv", str(environment_folder())]
    assert install[:5] == [str(python), "-m", "pip", "install", "--quiet"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("warning: slow\nerror: Request failed\n  Caused by: no route\n", "(error: Request failed)"),
        ("ERROR: No matching distribution found\n", "(ERROR: No matching distribution found)"),
        ("something went wrong\n", "(something went wrong)"),
    ],
)
def test_failing_is_one_line_and_is_tried_again(told, said, reason):
    with pytest.raises(OptionError) as raised:
        peers_python(told.append, Installer(said))
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    peers_python(told.append, Installer())


@pytest.mark.parametrize("works", [True, False])
def test_with_a_compiler_whisper_cpp_is_built_for_this_processor_or_is_its_wheel(told, monkeypatch, works):
    programs(monkeypatch, "uv", "c++")
    installer = Installer()

    def install(command):
        building = "--no-binary" in command
        return subprocess.CompletedProcess(command, 1, "", "no cmake") if building and not works else installer(command)

    peers_python(told.append, install)
    assert [command for command in installer.commands if "--no-binary" in command] == installer.commands[2:]
    assert len(installer.commands) == (3 if works else 2)
    assert ("as its wheel has it" in told[-1]) is not works
    peers_python(told.append, installer)
    assert len(installer.commands) == (3 if works else 2)
