"""The SFPI compiler, which compiles kernels for the card: where TT-NN looks for it.

ttnn 0.81.1 wants ``compiler/bin/riscv-tt-elf-g++`` in ``runtime/sfpi`` under its root, or in /opt/tenstorrent/sfpi. Its
root is ``TT_METAL_RUNTIME_ROOT``, or the folder of the installed package (tried on a mock board).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from ttscribe.errors import DeviceUnavailable

SYSTEM = Path("/opt/tenstorrent/sfpi")
_COMPILER = "compiler/bin/riscv-tt-elf-g++"


def places() -> tuple[Path, ...]:
    """The folders in which TT-NN looks, in its order."""
    root = os.environ.get("TT_METAL_RUNTIME_ROOT")
    found = importlib.util.find_spec("ttnn") if root is None else None
    if found is not None and found.origin is not None:
        root = str(Path(found.origin).resolve().parent)
    return (SYSTEM,) if root is None else (Path(root) / "runtime" / "sfpi", SYSTEM)


def find() -> Path | None:
    """The folder of the compiler that TT-NN would take; None where there is none."""
    return next((place for place in places() if (place / _COMPILER).exists()), None)


def how_to_get() -> str:
    """The command that brings it to where it is looked for first, with the package that is installed."""
    return f"{sys.executable} -m ttnn.download_sfpi"


def require() -> None:
    """Raise DeviceUnavailable where TT-NN would not find the compiler."""
    if find() is None:
        looked = " or ".join(map(str, places()))
        raise DeviceUnavailable(f"the SFPI compiler is not installed (looked for in {looked}): {how_to_get()}")
