"""The peers' own virtual environment, in ttscribe's cache folder: made anew only when what it should hold changes."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from ttscribe.errors import OptionError
from ttscribe.files import cache_folder, make_folder, write_text

_WHISPER_CPP = "pywhispercpp"
_PEERS = ("faster-whisper>=1.2.1", f"{_WHISPER_CPP}>=1.5", "transformers>=5.23,<6")
_MARKER = "holds.txt"

Runner = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def environment_folder() -> Path:
    """Where the environment is, or will be."""
    return cache_folder() / "peers"


def requirements() -> tuple[str, ...]:
    """What is installed: the peers, and PyTorch in the version that ttscribe itself runs on."""
    return (*_PEERS, f"torch=={version('torch').partition('+')[0]}")


def peers_python(tell: Callable[[str], None], run: Runner | None = None) -> Path:
    """The Python of the peers' environment, which is made where it is not there; at once where it is.

    ``tell`` is given what takes long; ``run`` runs a command and gives how it ended.

    Raises:
        OptionError: it cannot be made. OutputError: the cache folder cannot be written.
    """
    folder = environment_folder()
    python, marker = folder / "bin" / "python", folder / _MARKER
    compiles = shutil.which("c++") is not None
    wanted = "\n".join((f"Python {platform.python_version()}", f"C++ compiler: {compiles}", *requirements(), ""))
    if python.exists() and marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python
    tell(f"installing the peers in {folder}: several minutes, once")
    make_folder(folder.parent)
    shutil.rmtree(folder, ignore_errors=True)
    make, install = _commands(folder, python)
    _succeed(make, run or _run)
    _succeed([*install, *requirements()], run or _run)
    if compiles:
        _build_whisper_cpp(install, tell, run or _run)
    write_text(marker, wanted)
    return python


def _commands(folder: Path, python: Path) -> tuple[list[str], list[str]]:
    """What makes the environment, and what installs the packages that are named after it."""
    uv = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None:
        make = [sys.executable, "-m", "venv", str(folder)]
        return make, [str(python), "-m", "pip", "install", "--quiet"]
    make = [uv, "venv", "--quiet", "--python", sys.executable, str(folder)]
    return make, [uv, "pip", "install", "--quiet", "--python", str(python)]


def _build_whisper_cpp(install: Sequence[str], tell: Callable[[str], None], run: Runner) -> None:
    """Its wheel is for any processor with AVX2; what is built here uses all that this one has."""
    tell("building whisper.cpp for this processor")
    done = run([*install, "--no-deps", "--force-reinstall", "--no-binary", _WHISPER_CPP, _WHISPER_CPP])
    if done.returncode:
        tell("that failed: whisper.cpp is measured as its wheel has it")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # PyTorch alone has several hundred MB: uv's own limit of 30 s without an answer is too short on a busy line.
    environment = {"UV_HTTP_TIMEOUT": "300", **os.environ}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def _succeed(command: Sequence[str], run: Runner) -> None:
    done = run(command)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if re.match(r"error\b|×", line, re.IGNORECASE)), "".join(lines[-1:]))
        raise OptionError(
            f"--peers: {Path(command[0]).name} cannot install them ({reason or f'status {done.returncode}'}): "
            "see that a package registry can be reached, or measure without --peers"
        )
