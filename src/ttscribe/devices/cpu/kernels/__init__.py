"""Whisper's layers in C++ for CPUs with AVX-512 VNNI: 8-bit products, attention in bfloat16 or float16.

``library`` gives what was compiled when ttscribe was installed. Structures are those of ``whisper.cpp``.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

from ttscribe.devices.cpu.kernels.building import BFLOATS, HALVES, LIBRARY
from ttscribe.processor import instructions

NEEDED = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")
"""Flags of /proc/cpuinfo without which no library runs: Intel Cascade Lake and Ice Lake, AMD Zen 4, and later."""

FASTER = {"avx512_fp16": HALVES, "avx512_bf16": BFLOATS}
"""Libraries for CPUs that have more, the fastest first: Sapphire Rapids and later; Zen 4, Cooper Lake and later."""

HEAD = 64
"""Width of an attention head that the library is written for: that of every published Whisper."""

POSITIONS, SLOTS = 1500, 448
"""Encoder positions and tokens that it has room for: those of every published Whisper."""

UNIT = 32
"""Widths are multiples of this: outputs are computed by so many."""


class Linear(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("weight", "scale", "sums", "bias")),
        ("outputs", c_int64),
        ("inputs", c_int64),
    )


class Norm(Structure):
    _fields_ = (("weight", c_void_p), ("bias", c_void_p))


class Block(Structure):
    """Of an attention, or of a feed-forward network."""

    _fields_ = (("norm", Norm), ("into", Linear), ("out", Linear))


class EncoderLayer(Structure):
    _fields_ = (("attention", Block), ("feed_forward", Block))


class DecoderLayer(Structure):
    _fields_ = (
        ("self_attention", Block),
        ("cross_attention", Block),
        ("cross_key_value", Linear),
        ("feed_forward", Block),
    )


class Convolution(Structure):
    _fields_ = (("product", Linear), ("rest", Linear))


class Model(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("width", "heads", "encoder_layers", "decoder_layers", "slots", "vocabulary")),
        ("encoder", POINTER(EncoderLayer)),
        ("decoder", POINTER(DecoderLayer)),
        ("encoder_norm", Norm),
        ("decoder_norm", Norm),
        ("conv1", Convolution),
        ("conv2", Convolution),
        ("head", Linear),
        ("embedding", c_void_p),
        ("positions", c_void_p),
    )


_ARGUMENTS = {
    "ttscribe_pack": (c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_void_p),
    "ttscribe_linear": (POINTER(Linear), c_void_p, c_int64, c_void_p, c_int),
    "ttscribe_convolve": (POINTER(Convolution), c_void_p, c_int64, c_int64, c_void_p, c_int),
    "ttscribe_encode": (POINTER(Model), c_void_p, c_int64, c_int),
    "ttscribe_memory_size": (POINTER(Model), c_int64),
    "ttscribe_remember": (POINTER(Model), c_void_p, c_int64, c_void_p, c_int),
    "ttscribe_decode": (POINTER(Model), c_int64, c_int64, *(c_void_p,) * 5, c_int64, *(c_void_p,) * 2, c_int),
}


def why_not() -> str | None:
    """Why the library cannot be used here, or None where it can."""
    if lacking := [name for name in NEEDED if name not in instructions()]:
        return f"this CPU has no {', '.join(lacking)}"
    if not LIBRARY.exists():
        return f"{LIBRARY.name} was not built: install g++ and then ttscribe again"
    return None


def library() -> ctypes.CDLL:
    """The compiled library for this CPU; only where ``why_not`` is None."""
    faster = (path for flag, path in FASTER.items() if flag in instructions() and path.exists())
    return loaded(next(faster, LIBRARY))


@cache
def loaded(path: Path) -> ctypes.CDLL:
    """A compiled library, its functions declared."""
    found = ctypes.CDLL(str(path))
    for name, arguments in _ARGUMENTS.items():
        function = getattr(found, name)
        function.argtypes, function.restype = arguments, None
    found.ttscribe_memory_size.restype = c_int64
    return found
