"""A mock board: the real TT-NN host code with no card, no driver and no kernel compiler.

What makes it one is the environment that a process starts with, so a mock board is for processes of their own:

    subprocess.run([sys.executable, "program.py"], env=mock_environment("n150"))

1. ``TT_METAL_MOCK_CLUSTER_DESC_PATH`` names a cluster descriptor from which the driver library opens a mock chip:
   dispatch does nothing, allocators and program cache are real.
2. A stand-in for the SFPI compiler, which the wheel does not carry. Its version is that of the compiler of the wheel's
   precompiled firmware, so that the firmware is used as it is. It answers a compile with an empty object and a link
   with one small inert RISC-V program.
3. ``TT_METAL_RUNTIME_ROOT`` is a folder of links to the wheel's files with (2) among them; caches and logs go beside
   it, so that nothing is written into the wheel or the home folder's caches.

Values, time and whatever is inside kernels cannot be seen on it. An operation on a freed tensor and a trace capture end
the process, as they may on a card.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ttscribe.compiler.boards import Board, board
from ttscribe.errors import DeviceUnavailable, with_extra
from ttscribe.files import cache_folder, make_folder, replacing

_SUFFIX = 0x42  # of board ids: any will do


def mock_environment(board_name: str) -> dict[str, str]:
    """This process's environment, and what makes a process started with it see a mock board and nothing else.

    Raises DeviceUnavailable where the ttnn wheel is not installed, or has no firmware to stand on.
    """
    described = board(board_name)
    folder = cache_folder() / "mock"
    root = _runtime_root(folder)
    descriptor = folder / f"{described.kind}.yaml"
    _write(descriptor, cluster_descriptor(described).encode())
    return os.environ | {
        "TT_METAL_MOCK_CLUSTER_DESC_PATH": str(descriptor),
        "TT_METAL_RUNTIME_ROOT": str(root),
        "TT_METAL_CACHE": str(folder / "cache"),
        "TT_METAL_LOGS_PATH": str(folder),
        # No server. TT_METAL_INSPECTOR=0 would change the firmware's build key, and the firmware is then not found;
        # so would TT_METAL_DISABLE_SFPLOADMACRO.
        "TT_METAL_INSPECTOR_RPC": "0",
        "TT_LOGGER_LEVEL": "fatal",
        "LOGURU_LEVEL": "ERROR",
    }


def is_mock() -> bool:
    """Whether this process was started with a mock board."""
    return "TT_METAL_MOCK_CLUSTER_DESC_PATH" in os.environ


def stand_in_for_dispatch(ttnn: Any) -> None:
    """Let this process use traces and events, which end a mock's: there is no dispatch that they could be part of.

    What is recorded runs as outside a trace, replaying does nothing, and no queue waits. Recording still refuses device
    programs that are not compiled yet, through the program cache, which is real.
    """
    ttnn.begin_trace_capture = lambda _device, **_: ttnn.MeshTraceId(0)
    ttnn.end_trace_capture = lambda _device, _trace, **_: None
    ttnn.execute_trace = ttnn.release_trace = lambda _device, _trace, **_: None
    ttnn.record_event = lambda _device, _queue: None
    ttnn.wait_for_event = lambda _queue, _event: None
    ttnn.event_synchronize = lambda _event: None


def cluster_descriptor(described: Board) -> str:
    """A host with one such board, as the driver library reads it (YAML, here as JSON)."""
    chips = range(len(described.harvested))
    board_id = (1 << 56) | (described.identity << 36) | _SUFFIX
    harvesting = {
        "noc_translation": True,
        "dram_harvesting_mask": 0,
        "eth_harvesting_mask": described.harvested_ethernet,
        "pcie_harvesting_mask": described.harvested_pcie,
        "l2cpu_harvesting_mask": 0,
    }
    links = [[{"chip": a, "chan": x}, {"chip": b, "chan": y}] for a, x, b, y in described.links]
    return json.dumps(
        {
            "arch": dict.fromkeys(chips, described.architecture),
            "chips": {chip: [chip, 0, 0, 0] for chip in chips},
            "chip_unique_ids": {chip: board_id + (chip << 32) for chip in chips},
            "ethernet_connections": links,
            "chips_with_mmio": [{0: 0}],
            "io_device_type": "PCIe",
            "harvesting": {chip: {**harvesting, "harvest_mask": described.harvested[chip]} for chip in chips},
            "chip_to_boardtype": dict.fromkeys(chips, described.kind),
            "chip_to_bus_id": {0: "0x0001"},
            "asic_locations": {chip: chip for chip in chips},
            "boards": [[{"board_id": board_id}, {"board_type": described.kind}, {"chips": [*chips]}]],
        },
        indent=1,
    )


def _runtime_root(folder: Path) -> Path:
    """Links to the installed wheel, in a folder for its version and place, and the stand-in compiler among them."""
    spec = importlib.util.find_spec("ttnn")  # does not import it
    if spec is None or spec.origin is None:
        raise DeviceUnavailable(f"the mock board needs the ttnn library: {with_extra('tt')} on Python 3.10 or 3.12")
    wheel = Path(spec.origin).resolve().parent
    root = folder / f"ttnn-{version('ttnn')}-{zlib.crc32(bytes(wheel)):08x}"
    compilers = root / "runtime" / "sfpi" / "compiler" / "bin"
    make_folder(compilers)
    for name, target in _links(wheel):
        link = root / name
        if not link.is_symlink():
            with replacing(link) as new:
                new.symlink_to(target)
    _write(compilers / "inert.elf", inert_program())
    compiler = _COMPILER.replace("@VERSION@", firmware_compiler(wheel))
    _write(compilers / "riscv-tt-elf-g++", compiler.encode(), mode=0o755)
    return root


def _links(wheel: Path) -> Iterator[tuple[str, Path]]:
    for path in wheel.iterdir():
        if path.name != "runtime":
            yield path.name, path
    yield "runtime/hw", wheel / "runtime" / "hw"


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file as a whole, if it differs: another process may be reading it."""
    if path.exists() and path.read_bytes() == content:
        return
    with replacing(path) as new:
        new.write_bytes(content)
        new.chmod(mode)


def firmware_compiler(wheel: Path) -> str:
    """The compiler that built the wheel's precompiled firmware, as the firmware's .comment sections tell."""
    for program in sorted(wheel.glob("tt_metal/pre-compiled/*/brisc/brisc.elf")):
        stamp = re.search(rb"GCC: (\(tenstorrent/sfpi:[^)]*\) [0-9.]+)\0", program.read_bytes())
        if stamp:
            return stamp[1].decode()
    raise DeviceUnavailable(f"ttnn {version('ttnn')} carries no precompiled firmware, which the mock board stands on")


_COMPILER = """#!/bin/sh
# Stand-in for the SFPI compiler on a mock board: an empty object for a compile, an inert program for a link.
if [ "$1" = "--version" ]; then
cat <<'END'
riscv-tt-elf-g++ @VERSION@
Copyright (C) 2025 Free Software Foundation, Inc.
This is free software; see the source for copying conditions.  There is NO
warranty; not even for MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.

END
exit 0
fi
out= dep= src= prev=
for a do
  case $prev in -o) out=$a;; -MF) dep=$a;; esac
  case $a in *.cc|*.cpp|*.h) [ -f "$a" ] && src=$a;; esac
  prev=$a
done
[ -n "$dep" ] && echo "$out: $src" > "$dep"
case $out in *.elf) exec cp "${0%/*}/inert.elf" "$out";; ?*) : > "$out";; esac
"""

# ELF constants, from the System V ABI and the RISC-V psABI.
_PROGBITS, _RELA, _SYMTAB, _STRTAB = 1, 4, 2, 3
_ALLOC_AND_EXECUTE, _INFO_LINK = 0x4 | 0x2, 0x40
_TEXT_ADDRESS = 0x5000


def inert_program() -> bytes:
    """A 32-bit RISC-V program that returns 0, in the form that TT-Metal's kernel loader accepts.

    Its first loadable segment is .text, its entry point the start of .text, and .text has a relocation section, empty.
    """
    text = struct.pack("<II", 0x00000513, 0x00008067)  # li a0, 0; ret
    names = b"\0.text\0.rela.text\0.symtab\0.strtab\0"
    symbols = bytes(16)
    header_size, segment_size, section_size = 52, 32, 40
    text_at = header_size + segment_size
    symbols_at = text_at + len(text)
    names_at = symbols_at + len(symbols)
    sections_at = (names_at + len(names) + 3) & ~3

    def section(name: bytes, *fields: int) -> bytes:
        """Fields: type, flags, address, offset, size, link, info, alignment, entry size."""
        return struct.pack("<10I", names.index(b"\0" + name + b"\0") + 1, *fields)

    sections = (
        bytes(section_size),
        section(b".text", _PROGBITS, _ALLOC_AND_EXECUTE, _TEXT_ADDRESS, text_at, len(text), 0, 0, 4, 0),
        section(b".rela.text", _RELA, _INFO_LINK, 0, symbols_at, 0, 3, 1, 4, 12),
        section(b".symtab", _SYMTAB, 0, 0, symbols_at, len(symbols), 4, 1, 4, 16),
        section(b".strtab", _STRTAB, 0, 0, names_at, len(names), 0, 0, 1, 0),
    )
    # 32-bit, little-endian; below, 2 is an executable and 243 RISC-V's number.
    identity = b"\x7fELF\1\1\1".ljust(16, b"\0")
    sizes = (header_size, segment_size, 1, section_size, len(sections), len(sections) - 1)
    header = identity + struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, _TEXT_ADDRESS, header_size, sections_at, 0, *sizes)
    segment = struct.pack("<8I", 1, text_at, _TEXT_ADDRESS, _TEXT_ADDRESS, len(text), len(text), 5, 16)
    body = header + segment + text + symbols + names
    return body.ljust(sections_at, b"\0") + b"".join(sections)
