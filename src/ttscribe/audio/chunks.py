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
    """The samples of each chunk that gives some, as ``ChunkReader`` hears them; of none where there were no chunks."""
    reader = ChunkReader(sample_rate=sample_rate, input_format=input_format)
    return filter(len, _heard(chunks, reader))


def _heard(chunks: Iterable[Any], reader: ChunkReader) -> Iterator[Samples]:
    for chunk in chunks:
        yield reader.hear(chunk)
    yield reader.rest()


class ChunkReader:
    """Mono PCM bytes of ``input_format``, which may end within a sample, or arrays as ``hear`` takes them, to samples.

    Those are float32 at ±1, resampled to 16 kHz from ``sample_rate`` Hz. Raises OptionError for another format.
    """

    def __init__(self, *, sample_rate: float, input_format: InputFormat = "s16le") -> None:
        if input_format not in RAW_TYPES:
            raise OptionError(f"input_format must be {' or '.join(get_args(InputFormat))}, not {input_format!r}")
        self._rate, self._kind = float(sample_rate), np.dtype(RAW_TYPES[input_format])
        self._pieces: list[Samples] = []
        self._track = MonoTrack(_LABEL, self._pieces.append)
        self._cut = b""

    def hear(self, chunk: bytes | npt.NDArray[Any]) -> Samples:
        """What can be told from the next chunk on: any number of samples. Raises InvalidSamples and OptionError."""
        if isinstance(chunk, np.ndarray):
            channels = scaled(channels_first(chunk, _LABEL), _LABEL)
        elif isinstance(chunk, bytes | bytearray | memoryview):
            data = self._cut + bytes(chunk)
            whole = len(data) - len(data) % self._kind.itemsize
            channels, self._cut = scaled(np.frombuffer(data[:whole], self._kind)[np.newaxis], _LABEL), data[whole:]
        else:
            raise InvalidSamples(f"{_LABEL}: a chunk is bytes or a NumPy array, not {type(chunk).__name__}")
        self._track.add(channels, self._rate)
        self._track.require_good()
        return self._taken()

    def rest(self) -> Samples:
        """What is left when nothing more comes."""
        if self._track.seconds:
            self._track.finish()
        return self._taken()

    def _taken(self) -> Samples:
        joined = np.concatenate(self._pieces) if self._pieces else np.empty(0, np.float32)
        self._pieces.clear()
        return joined
