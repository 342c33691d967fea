"""Compiles the library. Imports nothing of ttscribe: the build of a wheel runs this file by itself."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCES = ("whisper.cpp", "attention.h", "products.h", "vectors.h", "pool.h")
# GCC's own headers of intrinsics use values that are undefined on purpose, and it warns of them.
FLAGS = (
    *("-O3", "-std=c++20", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra"),
    *("-Wno-uninitialized", "-Wno-maybe-uninitialized"),
    *(
        f"-m{name}"
        for name in ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "avx512bf16", "fma", "f16c")
    ),
)


def _key() -> str:
    text = b"".join((FOLDER / name).read_bytes() for name in (*SOURCES, Path(__file__).name))
    return hashlib.sha256(text).hexdigest()[:12]


# Named by its source: what was compiled of another is not taken for it.
LIBRARY = FOLDER / f"libttscribe-{_key()}.so"


class CannotBuild(Exception):
    """Why the library cannot be compiled, in a line."""


def build() -> Path:
    """Compile the library beside its source, unless it is there; raises CannotBuild."""
    if LIBRARY.exists():
        return LIBRARY
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise CannotBuild(f"it is for Linux on x86_64, and this is {sys.platform} on {platform.machine()}")
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise CannotBuild("there is no C++ compiler: install g++")
    new = LIBRARY.with_suffix(f".{os.getpid()}")
    try:
        command = [compiler, *FLAGS, str(FOLDER / SOURCES[0]), "-o", str(new)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise CannotBuild(f"{compiler} fails: {done.stderr.strip().partition(chr(10))[0]}")
        for old in FOLDER.glob("libttscribe-*.so"):
            old.unlink()
        new.replace(LIBRARY)
    finally:
        new.unlink(missing_ok=True)
    return LIBRARY
