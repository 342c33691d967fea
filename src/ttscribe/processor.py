"""What the processor of this machine can do."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CPUS = Path("/sys/devices/system/cpu")


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


def cores() -> int:
    """How many cores this process may use; one that appears as several CPUs counts once."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return len({_core(cpu) for cpu in usable})


def _core(cpu: int) -> str:
    """The CPUs that are one core with this one, as Linux lists them; itself alone where nothing is said of it."""
    siblings = _CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    return siblings.read_text() if siblings.exists() else str(cpu)
