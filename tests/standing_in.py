"""TT-NN's place taken by a stand-in that computes with torch, on a simulator that is an empty file."""

import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "stand_in"


def stand_in_library(monkeypatch):
    """The stand-in as the module ``ttnn`` of this process, for as long as ``monkeypatch`` lasts."""
    spec = importlib.util.spec_from_file_location("ttnn", FOLDER / "ttnn.py")
    library = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)
    monkeypatch.setitem(sys.modules, "ttnn", library)
    return library


def simulator_environment(folder: Path) -> dict[str, str]:
    """What makes a process see a simulator and a kernel compiler, both empty, and nothing else of TT-NN's."""
    (folder / "runtime" / "sfpi" / "compiler" / "bin").mkdir(parents=True)
    (folder / "runtime" / "sfpi" / "compiler" / "bin" / "riscv-tt-elf-g++").touch()
    (folder / "libttsim.so").touch()
    return {
        "TT_METAL_SIMULATOR": str(folder / "libttsim.so"),
        "TT_METAL_RUNTIME_ROOT": str(folder),
        "TT_METAL_SLOW_DISPATCH_MODE": "1",
        "TTSCRIBE_CACHE": str(folder / "cache"),
    }


def stand_in_simulator(monkeypatch, folder: Path):
    """The stand-in library, on a simulator."""
    try:
        version("ttnn")
    except PackageNotFoundError:
        pytest.skip("the ttnn library is not installed: pip install 'ttscribe[tt]' on Python 3.10 or 3.12")
    monkeypatch.delenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", raising=False)
    for name, value in simulator_environment(folder).items():
        monkeypatch.setenv(name, value)
    return stand_in_library(monkeypatch)
