"""The machine that figures are taken on: its processor, what that can do, its cores and its memory."""

import os
import platform

import msgspec

from ttscribe.processor import described, instructions

# What speeds Whisper's products up, by Linux's names for it; any one of them is enough.
_FEATURES = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512f"},
    "VNNI": {"avx512_vnni", "avx_vnni"},
    "avx512_bf16": {"avx512_bf16"},
    "avx512_fp16": {"avx512_fp16"},
    "AMX": {"amx_tile"},
    "dot products": {"asimddp"},
    "I8MM": {"i8mm"},
}


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``features`` is None where the system does not say; ``cores`` are those that this process may use.

    ``load_average`` is that of the minute before, which tells whether something else ran.
    """

    cpu: str
    features: tuple[str, ...] | None
    cores: int
    threads: int
    memory_gib: int
    system: str
    load_average: float


def machine(threads: int) -> Machine:
    """This machine, of which ``threads`` threads are used."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=processor(),
        features=features(),
        cores=cores(),
        threads=threads,
        memory_gib=round(memory / 2**30),
        system=f"{platform.system()} {platform.release()}",
        load_average=round(os.getloadavg()[0], 2),
    )


def cores() -> int:
    """The cores that this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, or its architecture where the system does not say."""
    return described().get("model name") or platform.machine()


def features() -> tuple[str, ...] | None:
    """The instructions of _FEATURES that the processor has; None where the system does not say."""
    flags = instructions()
    return tuple(name for name, any_of in _FEATURES.items() if any_of & flags) if flags else None
