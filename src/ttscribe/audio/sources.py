"""``load_audio``: the one door for recordings."""

import io
import os
import stat
import sys
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ttscribe.audio.containers import decode
from ttscribe.audio.track import MonoTrack
from ttscribe.errors import AudioNotFound, AudioUnreadable, InvalidSamples
from ttscribe.types import AudioSource, Samples

MOST_CHANNELS = 64
"""An array with more on its smaller axis is not channels of sound."""


def load_audio(source: AudioSource, *, sample_rate: float | None = None) -> Samples:
    """Any recording as mono float32 samples at 16 kHz, contiguous, full scale ±1.

    ``source`` is a path, ``"-"`` for standard input, the bytes of a file, a binary file object (read from where it
    stands), or an array [samples] or, with channels on the smaller axis, of two dimensions. An array needs its
    ``sample_rate`` in Hz, 1000 to 1000000; its integers are scaled to ±1 and its floats are taken as they are.
    Channels are mixed to their mean.

    Raises AudioNotFound, AudioUnreadable, NoAudioStream or InvalidSamples.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, sample_rate)
    if sample_rate is not None:
        raise InvalidSamples("sample_rate is for arrays: files, bytes and streams have their own; leave it out")
    if isinstance(source, bytes):
        return decode(io.BytesIO(source), "the given bytes")
    if isinstance(source, str) and source == "-":
        return _from_standard_input()
    if isinstance(source, str | os.PathLike):
        return _from_path(os.fsdecode(source))
    if hasattr(source, "read"):
        return _from_stream(source, "the given file object")
    kind = type(source).__name__
    raise InvalidSamples(f"cannot take sound from {kind}: give a path, bytes, a binary file object or a NumPy array")


def _from_standard_input() -> Samples:
    label = "standard input"
    # Python sets it to None where the caller closed it.
    if sys.stdin is None:
        raise AudioUnreadable(f"{label}: closed; pipe a recording into it")
    return _from_stream(sys.stdin.buffer, label)


def _from_path(path: str) -> Samples:
    label = path if path and path.isprintable() else repr(path)
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - Path("") would be the current directory
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode):
                return decode(file, label)
            # Such as a shell's <(command): it cannot be sought in, so all of it is read first.
            if stat.S_ISFIFO(mode):
                return _from_stream(file, label)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioNotFound(f"{label}: no such file") from error
    except IsADirectoryError as error:
        raise AudioNotFound(f"{label}: a directory; name the files in it") from error
    except OSError as error:
        raise AudioUnreadable(f"{label}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise AudioNotFound(f"{label}: no path ({error})") from error
    raise AudioNotFound(f"{label}: not a regular file")


def _from_stream(stream: BinaryIO, label: str) -> Samples:
    try:
        data: Any = stream.read()
    except (OSError, ValueError) as error:
        raise AudioUnreadable(f"{label}: cannot be read ({error})") from error
    if not isinstance(data, bytes):
        raise AudioUnreadable(f"{label}: gives {type(data).__name__}, not bytes; open it in binary mode")
    return decode(io.BytesIO(data), label)


def _from_array(array: npt.NDArray[Any], sample_rate: float | None) -> Samples:
    label = "the given array"
    if not isinstance(sample_rate, int | float | np.integer | np.floating):
        raise InvalidSamples(f"{label}: sample_rate must be its rate in Hz, not {sample_rate!r}")
    track = MonoTrack(label)
    track.add(_scaled(_channels_first(array, label), label), float(sample_rate))
    return track.finish()


def _channels_first(array: npt.NDArray[Any], label: str) -> npt.NDArray[Any]:
    """[channels, samples] of an array [samples], [samples, channels] or [channels, samples]."""
    if array.ndim == 1:
        return array[np.newaxis]
    if array.ndim != 2 or min(array.shape) > MOST_CHANNELS:
        raise InvalidSamples(f"{label}: shape {array.shape} must be [samples], or [samples, channels] either way round")
    return array if array.shape[0] < array.shape[1] else array.T


def _scaled(array: npt.NDArray[Any], label: str) -> npt.NDArray[Any]:
    """Floats as they are, integers of up to 32 bits from their full range to ±1."""
    kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "f":
        return array
    # 64-bit integers mostly hold small numbers, which scaling would turn into silence.
    if kind not in "iu" or bits > 32:
        raise InvalidSamples(f"{label}: its type is {array.dtype}; give int16, int32 or floating point within ±1")
    middle, scale = (2 ** (bits - 1) if kind == "u" else 0), 2.0 ** (bits - 1)
    return ((array.astype(np.float32) - middle) / scale).astype(np.float32)
