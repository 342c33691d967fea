"""Whisper's layers in C++ for x86_64 with AVX2 or AVX-512, and Arm with dot products: 8-bit products of weights.

``library`` gives what was compiled when ttscribe was installed. Structures are those of ``whisper.cpp``.
"""

from __future__ import annotations

import ctypes
import platform
from ctypes import POINTER, Structure, c_float, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

from ttscribe.devices.cpu.kernels.building import ARCHITECTURES, LIBRARIES, NEEDS
from ttscribe.processor import instructions

HEAD = 64
"""Width of an attention head that the library is written for: that of every published Whisper."""

POSITIONS, SLOTS = 1500, 448
"""Encoder positions and tokens that it has room for: those of every published Whisper."""

CONDENSED = 4
"""Positions of silence that one may stand for."""

BINS = 16
"""Mel bins are a multiple of this: activations are rounded by so many."""

UNIT = 32
"""Widths are multiples of this: outputs are computed by so many."""


class Linear(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("weight", "scale", "sums", "bias")),
        ("outputs", c_int64),
        ("inputs", c_int64),
    )


class Halved(Structure):
    """A product without bias, whose weights' upper 4 bits can be read alone."""

    _fields_ = (
        *((name, c_void_p) for name in ("weight", "scale", "sums", "upper_sums")),
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


class Memory(Structure):
    """What every step attends to of a window."""

    _fields_ = (("packed", c_void_p), ("length", c_int64), ("single", c_int64))


class Model(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("width", "heads", "encoder_layers", "decoder_layers", "slots", "vocabulary")),
        ("encoder", POINTER(EncoderLayer)),
        ("decoder", POINTER(DecoderLayer)),
        ("encoder_norm", Norm),
        ("decoder_norm", Norm),
        ("conv1", Convolution),
        ("conv2", Convolution),
        ("head", Halved),
        ("embedding", c_void_p),
        ("positions", c_void_p),
    )


_ARGUMENTS = {
    "ttscribe_pack": (c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_void_p),
    "ttscribe_halve": (c_void_p, c_int64, c_int64, c_void_p, c_void_p),
    "ttscribe_linear": (POINTER(Linear), c_void_p, c_int64, c_void_p, c_int),
    "ttscribe_convolve": (POINTER(Convolution), c_void_p, c_int64, c_int64, c_void_p, c_int),
    "ttscribe_encode": (POINTER(Model), c_void_p, c_int64, c_int64, c_int),
    "ttscribe_memory_size": (POINTER(Model), c_int64),
    "ttscribe_remember": (POINTER(Model), c_void_p, c_int64, c_void_p, c_int),
    "ttscribe_decode": (POINTER(Model), c_int64, c_int64, *(c_void_p,) * 4, c_int64, *(c_void_p,) * 2, c_int, c_int),
    "ttscribe_pick": (POINTER(Model), c_void_p, c_void_p, *(c_int64,) * 5, POINTER(c_float), c_int),
    "ttscribe_log_power": (c_void_p, *(c_int64,) * 3, c_void_p, c_int64, c_void_p, c_int),
}


def why_not() -> str | None:
    """Why no library can be used here, or None where one can."""
    if not NEEDS:
        return f"the kernels are for {' and '.join(ARCHITECTURES)}, and this is {platform.machine()}"
    *_, least = NEEDS.values()
    if lacking := [name for name in least if name not in instructions()]:
        return f"this CPU has no {', '.join(lacking)}"
    if best() is None:
        return "the kernels were not built: install g++ and then ttscribe again"
    return None


def best() -> str | None:
    """The name of the fastest library that is built and that this CPU can run; None where there is none."""
    can = (name for name, needs in NEEDS.items() if instructions().issuperset(needs) and LIBRARIES[name].exists())
    return next(can, None)


@cache
def library() -> ctypes.CDLL:
    """The library for this CPU; only where ``why_not`` is None. Every decoding step asks for it."""
    name = best()
    assert name is not None
    return loaded(LIBRARIES[name])


def loaded(path: Path) -> ctypes.CDLL:
    """A compiled library, its functions declared."""
    found = ctypes.CDLL(str(path))
    for name, arguments in _ARGUMENTS.items():
        function = getattr(found, name)
        function.argtypes, function.restype = arguments, None
    found.ttscribe_memory_size.restype = found.ttscribe_pick.restype = c_int64
    return found
