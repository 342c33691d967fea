"""The wheel in environments of its own, without CUDA, transcribing real speech: on the oldest and the newest Python.

With TTSCRIBE_INSTALL=all (make check-pythons) on every Python that it claims.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ttscribe import __version__

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "ttscribe"
BECKETT = "Ever tried, ever failed.\nNo matter, try again.\nFail again.\nFail better.\n"

ASK_FOR_GPU = """
import torch

print(torch.version.cuda)
if torch.version.cuda:
    try:
        torch.cuda.is_current_stream_capturing()
    except RuntimeError as error:
        print(error)
"""

# The oldest versions that pyproject.toml allows on the oldest Python, and what pip would choose on the newest.
CHOICES = [("3.10", "lowest-direct"), ("3.13", "highest")]
if os.environ.get("TTSCRIBE_INSTALL") == "all":
    CHOICES += [("3.10", "highest"), ("3.11", "highest"), ("3.12", "highest")]
WHEELS = [
    pytest.param((version, resolution), id=f"{version}-{resolution}", marks=pytest.mark.xdist_group(f"wheel {version}"))
    for version, resolution in CHOICES
]

# Downloads on a slow line.
pytestmark = pytest.mark.timeout(3000)


class Environment(NamedTuple):
    """A folder with a Python environment, and the home folder of those who use it."""

    folder: Path
    home: Path

    @property
    def packages(self) -> Path:
        (path,) = self.folder.glob("lib/python*/site-packages")
        return path

    def run(self, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment as somebody who has just installed it would."""
        return run(self.folder / "bin" / command, *arguments, HOME=str(self.home))


def run(*command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program, with uv on its path and none of our own settings; what it says is in the error where it fails."""
    ours = ("TTSCRIBE_", "HF_", "XDG_", "PYTHON", "VIRTUAL_ENV", "PYTEST_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        list(map(str, command)), env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode and "error sending request" in done.stderr:
        pytest.skip("the package registry cannot be reached")
    assert not done.returncode, f"{command}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if subprocess.run([sys.executable, "-m", "uv", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("uv is not installed: make env")
    folder = tmp_path_factory.mktemp("wheel")
    run("uv", "build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def find_python(version: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "TTSCRIBE_PYTHON"}
    command = [ROOT / "scripts" / "find-python", version]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"no Python {version} is on this machine")
    return found.stdout.strip()


@pytest.fixture(scope="module", params=WHEELS)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, wheel: Path
) -> Iterator[Environment]:
    """What scripts/setup-cpu makes; removed afterwards, for it is large."""
    version, resolution = request.param
    python = find_python(version)
    folder = tmp_path_factory.mktemp("without cuda")
    made = Environment(folder / "environment", folder / "home")
    made.home.mkdir()
    run(ROOT / "scripts" / "setup-cpu", made.folder, wheel, TTSCRIBE_PYTHON=python, UV_RESOLUTION=resolution)
    yield made
    shutil.rmtree(folder)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    held = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    ours = {path.relative_to(ROOT / "src") for path in files}
    assert {path for path in held if path.parts[0] == "ttscribe"} == ours
    assert {path.parts[0].partition("-")[0] for path in held} == {"ttscribe"}


class TestOnEveryPython:
    def test_it_transcribes(self, installed: Environment, beckett: Path) -> None:
        """Real speech, real weights; all that is left in the home folder is what ttscribe says that it keeps."""
        options = ("--offline", "--quiet", "--model", "tiny.en", "--fp16", "False")
        said = installed.run("ttscribe", "transcribe", *options, beckett)
        assert (said.stdout, said.stderr) == (BECKETT, "")
        left = [path.relative_to(installed.home) for path in installed.home.glob("*/*")]
        assert left == [Path(".cache/ttscribe")]

    def test_it_finds_the_weights_in_its_packages_and_reads_toml(self, installed: Environment, tmp_path: Path) -> None:
        listed = installed.run("ttscribe", "models").stdout.splitlines()
        (tiny,) = [line for line in listed if line.startswith("tiny.en ")]
        assert str(installed.packages) in tiny
        options = tmp_path / "ttscribe.toml"
        options.write_text("[transcribe]\nmodel = 'tiny.en'\nthreads = 1\nquiet = true\nvad-threshold = 0.4\n")
        command = installed.folder / "bin" / "ttscribe"
        doctor = run(command, "doctor", HOME=str(installed.home), TTSCRIBE_CONFIG=str(options)).stdout
        assert f"{options}  in use, 4 options of ttscribe transcribe" in doctor
        assert __version__ in doctor
        assert "tiny.en  bundled" in doctor

    def test_a_shell_completes_its_command_line(self, installed: Environment) -> None:
        words = {"COMP_WORDS": "ttscribe transcribe --word_timestamps --device emu", "COMP_CWORD": "4"}
        command = installed.folder / "bin" / "ttscribe"
        proposed = run(command, HOME=str(installed.home), _TTSCRIBE_COMPLETE="complete_bash", **words).stdout
        assert proposed.split() == ["emulator", "emulator:kernels"]

    def test_nothing_of_cuda_is_in_it(self, installed: Environment) -> None:
        names = {path.name for path in installed.packages.iterdir()}
        assert "torch" in names
        assert not [name for name in names if name.startswith(("nvidia", "cuda", "triton"))]

    def test_asking_for_a_gpu_is_an_error_and_no_crash(self, installed: Environment) -> None:
        said = installed.run("python", "-c", ASK_FOR_GPU).stdout
        if said == "None\n":
            pytest.skip("PyTorch's own index was reached: this torch knows no CUDA")
        assert "CUDA is not installed in this environment" in said


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    command = [ROOT / "scripts" / "setup-cpu", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path} is there already: remove it, or name another folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
