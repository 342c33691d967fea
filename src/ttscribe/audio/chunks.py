"""Sound that comes piece by piece for as long as it likes, as mono 16 kHz samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ttscribe.audio.sources import RAW_TYPES, channels_first, scaled
from ttscribe.audio.track import MonoTrack
from ttscribe.errors import InvalidSamples, OptionError
from ttscribe.types import InputFormat, Samples

_LABEL = "the stream"


def heard_chunks(
    chunks: Iterable[bytes | npt.NDArray[Any]], *, sample_rate: float, input_format: InputFormat = "s16le"
) -> Iterator[Samples]:
    """Float32 samples [any number] at ±1 for each chunk that gives some, resampled to 16 kHz from ``sample_rate`` Hz.

    Chunks are mono PCM bytes of ``input_format``, which may end within a sample, or arrays as ``hear`` takes them.
    Raises InvalidSamples and OptionError as ``hear`` does.
    """
    if input_format not in RAW_TYPES:
        raise OptionError(f"input_format must be {' or '.join(get_args(InputFormat))}, not {input_format!r}")
    return _heard(chunks, float(sample_rate), np.dtype(RAW_TYPES[input_format]))


def _heard(chunks: Iterable[Any], rate: float, kind: np.dtype[Any]) -> Iterator[Samples]:
    pieces: list[Samples] = []
    track = MonoTrack(_LABEL, pieces.append)
    rest = b""
    for chunk in chunks:
        if isinstance(chunk, np.ndarray):
            channels = scaled(channels_first(chunk, _LABEL), _LABEL)
        elif isinstance(chunk, bytes | bytearray | memoryview):
            data = rest + bytes(chunk)
            whole = len(data) - len(data) % kind.itemsize
            channels, rest = scaled(np.frombuffer(data[:whole], kind)[np.newaxis], _LABEL), data[whole:]
        else:
            raise InvalidSamples(f"{_LABEL}: a chunk is bytes or a NumPy array, not {type(chunk).__name__}")
        track.add(channels, rate)
        track.require_good()
        yield from _joined(pieces)
    if track.seconds:
        track.finish()
        yield from _joined(pieces)


def _joined(pieces: list[Samples]) -> Iterator[Samples]:
    joined = np.concatenate(pieces) if pieces else np.empty(0, np.float32)
    pieces.clear()
    if joined.size:
        yield joined
