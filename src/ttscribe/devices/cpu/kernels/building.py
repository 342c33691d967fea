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
SOURCES = (
    *("whisper.cpp", "halves.h", "attention.h", "picking.h", "products.h", "sound.h", "pool.h"),
    *("vectors.h", "avx512.h", "avx2.h", "neon.h"),
)
# GCC's own headers of intrinsics use values that are undefined on purpose, and it warns of them.
FLAGS = (
    *("-O3", "-std=c++20", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra"),
    *("-Wno-uninitialized", "-Wno-maybe-uninitialized"),
)
_AVX2 = ("avx2", "fma", "f16c")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")
_DOT_PRODUCTS = ("asimd", "asimddp")
ARCHITECTURES = {
    "x86_64": {
        "fp16": (*_AVX512, "avx512_bf16", "avx512_fp16"),
        "bf16": (*_AVX512, "avx512_bf16"),
        "avx512": _AVX512,
        "avxvnni": (*_AVX2, "avx_vnni"),
        "avx2": _AVX2,
    },
    "aarch64": {"i8mm": (*_DOT_PRODUCTS, "i8mm"), "dotprod": _DOT_PRODUCTS},
}
"""What a CPU has to have for each library, by Linux's names, the fastest library of an architecture first.

Of Intel's: Sapphire Rapids; Cooper Lake; Cascade Lake and Ice Lake; Alder Lake; Haswell. Of AMD's Zen 4 has the second.
Of Arm's: Neoverse V1 and N2 (Graviton 3); Neoverse N1 and Cortex-A76 (Graviton 2, Raspberry Pi 5).
"""
NEEDS = ARCHITECTURES.get(platform.machine(), {})
_ARM_NAMES = {"asimd": "simd", "asimddp": "dotprod"}


def _key() -> str:
    text = b"".join((FOLDER / name).read_bytes() for name in (*SOURCES, Path(__file__).name))
    return hashlib.sha256(text).hexdigest()[:12]


# Named by their source: what was compiled of another is not taken for it.
KEY = _key()
LIBRARIES = {name: FOLDER / f"libttscribe-{KEY}-{name}.so" for name in NEEDS}


class CannotBuild(Exception):
    """Why the library cannot be compiled, in a line."""


def build() -> list[Path]:
    """Compile what is not there beside its source, and give what there is; raises CannotBuild where nothing is.

    An older compiler lacks the newest instructions, and makes the other libraries.
    """
    if sys.platform != "linux" or not NEEDS:
        there = " or ".join(ARCHITECTURES)
        raise CannotBuild(f"it is for Linux on {there}, and this is {sys.platform} on {platform.machine()}")
    for old in FOLDER.glob("libttscribe-*.so"):
        if old not in LIBRARIES.values():
            old.unlink()
    missing = {name: path for name, path in LIBRARIES.items() if not path.exists()}
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    complaint = "there is no C++ compiler: install g++"
    if compiler is not None:
        # At the same time, as each takes a core some ten seconds.
        with ThreadPoolExecutor() as pool:
            failures = pool.map(lambda name: _compile(compiler, NEEDS[name], missing[name]), missing)
        complaint = f"{compiler} fails: {next(filter(None, failures), '')}"
    built = [path for path in LIBRARIES.values() if path.exists()]
    if not built:
        raise CannotBuild(complaint)
    return built


def _compile(compiler: str, needs: tuple[str, ...], path: Path) -> str:
    """What the compiler complains of, in a line; empty where the library is there."""
    new = path.with_suffix(f".{os.getpid()}")
    try:
        command = [compiler, *FLAGS, *machine_flags(needs), str(FOLDER / SOURCES[0]), "-o", str(new)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            return done.stderr.strip().partition("\n")[0] or f"exit status {done.returncode}"
        new.replace(path)
        return ""
    finally:
        new.unlink(missing_ok=True)


def machine_flags(needs: tuple[str, ...]) -> list[str]:
    """How GCC is asked for these of NEEDS' instructions."""
    if "asimd" in needs:
        return ["-march=armv8.2-a+" + "+".join(_ARM_NAMES.get(need, need) for need in needs)]
    # GCC writes avx512_vnni without the line, and avx_vnni too.
    return [f"-m{need.replace('_', '')}" for need in needs]
