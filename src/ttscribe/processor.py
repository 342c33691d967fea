"""What the processor of this machine can do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@cache
def described() -> dict[str, str]:
    """What the system says of the first core, by its names for it; empty where it says nothing."""
    text = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def instructions() -> frozenset[str]:
    """Instruction sets by Linux's names, such as "avx2"."""
    found = described()
    return frozenset(found.get("flags", found.get("Features", "")).split())
