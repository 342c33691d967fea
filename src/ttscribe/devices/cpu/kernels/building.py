"""Compiles the library. Imports nothing of ttscribe: the build of a wheel runs this file by itself."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCES = ("whisper.cpp", "halves.h", "attention.h", "products.h", "vectors.h", "pool.h")
# GCC's own headers of intrinsics use values that are undefined on purpose, and it warns of them.
FLAGS = (
    *("-O3", "-std=c++20", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra"),
    *("-Wno-uninitialized", "-Wno-maybe-uninitialized"),
    *(f"-m{name}" for name in ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "fma", "f16c")),
)


def _key() -> str:
    text = b"".join((FOLDER / name).read_bytes() for name in (*SOURCES, Path(__file__).name))
    return hashlib.sha256(text).hexdigest()[:12]


# Named by its source: what was compiled of another is not taken for it.
LIBRARY = FOLDER / f"libttscribe-{_key()}.so"
"""For every CPU that the kernels are for; attention's products in bfloat16 are made of float32's."""

BFLOATS, HALVES = (LIBRARY.with_name(f"{LIBRARY.stem}-{name}.so") for name in ("bf16", "fp16"))
"""For those that multiply bfloat16, or float16 too: attention is faster there. GCC knows float16 from version 12 on."""

_WANTED = {
    LIBRARY: FLAGS,
    BFLOATS: (*FLAGS, "-mavx512bf16"),
    HALVES: (*FLAGS, "-mavx512bf16", "-mavx512fp16"),
}


class CannotBuild(Exception):
    """Why the library cannot be compiled, in a line."""


def build() -> list[Path]:
    """Compile what is not there beside its source, and give what there is; raises CannotBuild for ``LIBRARY``."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise CannotBuild(f"it is for Linux on x86_64, and this is {sys.platform} on {platform.machine()}")
    missing = {path: flags for path, flags in _WANTED.items() if not path.exists()}
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None and LIBRARY in missing:
        raise CannotBuild("there is no C++ compiler: install g++")
    for old in FOLDER.glob("libttscribe-*.so"):
        if old not in _WANTED:
            old.unlink()
    if compiler is not None:
        # At the same time, as each takes a core some ten seconds.
        with ThreadPoolExecutor() as pool:
            failures = {path: pool.submit(_compile, compiler, flags, path) for path, flags in missing.items()}
        if LIBRARY in failures and (complaint := failures[LIBRARY].result()):
            raise CannotBuild(f"{compiler} fails: {complaint}")
    return [path for path in _WANTED if path.exists()]


def _compile(compiler: str, flags: tuple[str, ...], path: Path) -> str:
    """What the compiler complains of, in a line; empty where the library is there."""
    new = path.with_suffix(f".{os.getpid()}")
    try:
        command = [compiler, *flags, str(FOLDER / SOURCES[0]), "-o", str(new)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            return done.stderr.strip().partition("\n")[0] or f"exit status {done.returncode}"
        new.replace(path)
        return ""
    finally:
        new.unlink(missing_ok=True)
