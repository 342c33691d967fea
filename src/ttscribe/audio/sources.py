"""``hear``: the one door for recordings, and ``load_audio``, which holds all that comes through it."""

import io
import math
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, get_args

import numpy as np
import numpy.typing as npt

from ttscribe.audio.containers import decode
from ttscribe.audio.spool import Spool, read_piece
from ttscribe.audio.track import MonoTrack
from ttscribe.errors import AudioNotFound, AudioUnreadable, InvalidSamples, OptionError
from ttscribe.types import AudioSource, InputFormat, Samples

MOST_CHANNELS = 64
"""An array with more on its smaller axis is not channels of sound."""

PIECE_SAMPLES = 1 << 20
"""Of an array, taken at a time."""

RAW_TYPES: dict[InputFormat, str] = {"s16le": "<i2", "f32le": "<f4"}


def load_audio(source: AudioSource, *, sample_rate: float | None = None) -> Samples:
    """Any recording as mono float32 samples at 16 kHz, contiguous, full scale ±1.

    ``source`` and ``sample_rate`` are those of ``hear``, which raises what can go wrong.
    """
    pieces: list[Samples] = []
    hear(source, pieces.append, sample_rate=sample_rate)
    return np.concatenate(pieces)


def hear(
    source: AudioSource,
    sink: Callable[[Samples], None],
    *,
    sample_rate: float | None = None,
    input_format: InputFormat | None = None,
    max_duration: float = math.inf,
) -> None:
    """Give any recording to ``sink`` piece by piece: mono float32 samples at 16 kHz, full scale ±1.

    ``source`` is a path, ``"-"`` for standard input, the bytes of a file, a binary file object (read from where it
    stands), or an array [samples] or, with channels on the smaller axis, of two dimensions. An array needs its
    ``sample_rate`` in Hz, 1000 to 1000000; its integers are scaled to ±1 and its floats are taken as they are.
    Channels are mixed to their mean. With ``input_format`` the bytes are mono PCM without a header, at ``sample_rate``.

    Raises AudioNotFound, AudioUnreadable, NoAudioStream or InvalidSamples; AudioTooLong beyond ``max_duration`` in
    seconds; OptionError for options that do not go together; OutputError where a temporary file finds no room. What
    ``sink`` was given before an error is to be forgotten.
    """

    def track(label: str) -> MonoTrack:
        return MonoTrack(label, sink, max_duration)

    if isinstance(source, np.ndarray):
        if input_format is not None:
            raise OptionError("input_format is for raw PCM: an array has a type of its own; leave it out")
        _from_array(source, sample_rate, track("the given array"))
        return
    _Bytes(track, input_format, sample_rate).hear(source)


class _Bytes:
    """Takes recordings that are bytes somewhere: in a container, or with ``input_format`` raw at ``sample_rate``."""

    def __init__(
        self, track: Callable[[str], MonoTrack], input_format: InputFormat | None, sample_rate: float | None
    ) -> None:
        if input_format is None and sample_rate is not None:
            raise InvalidSamples(
                "sample_rate is for arrays and raw PCM: files, bytes and streams have their own; leave it out"
            )
        if input_format is not None and input_format not in RAW_TYPES:
            raise OptionError(f"input_format must be {' or '.join(get_args(InputFormat))}, not {input_format!r}")
        if input_format is not None and sample_rate is None:
            raise OptionError(f"input_format {input_format} needs the sample_rate, such as 16000 (--sample-rate 16000)")
        self._track, self._format, self._rate = track, input_format, sample_rate

    def hear(self, source: Any) -> None:
        if isinstance(source, bytes):
            self._from_file(io.BytesIO(source), "the given bytes")
        elif isinstance(source, str) and source == "-":
            self._from_standard_input()
        elif isinstance(source, str | os.PathLike):
            self._from_path(os.fsdecode(source))
        elif hasattr(source, "read"):
            self._from_stream(source, "the given file object")
        else:
            kind = type(source).__name__
            raise InvalidSamples(
                f"cannot take sound from {kind}: give a path, bytes, a binary file object or a NumPy array"
            )

    def _from_standard_input(self) -> None:
        label = "standard input"
        # Python sets it to None where the caller closed it.
        if sys.stdin is None:
            raise AudioUnreadable(f"{label}: closed; pipe a recording into it")
        self._from_stream(sys.stdin.buffer, label)

    def _from_path(self, path: str) -> None:
        label = path if path and path.isprintable() else repr(path)
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - Path("") would be the current directory
                mode = os.fstat(file.fileno()).st_mode
                if stat.S_ISREG(mode):
                    self._from_file(file, label)
                    return
                # Such as a shell's <(command), which cannot be sought in.
                if stat.S_ISFIFO(mode):
                    self._from_stream(file, label)
                    return
        except (FileNotFoundError, NotADirectoryError) as error:
            raise AudioNotFound(f"{label}: no such file") from error
        except IsADirectoryError as error:
            raise AudioNotFound(f"{label}: a directory; name the files in it") from error
        except OSError as error:
            raise AudioUnreadable(f"{label}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise AudioNotFound(f"{label}: no path ({error})") from error
        raise AudioNotFound(f"{label}: not a regular file")

    def _from_file(self, file: BinaryIO, label: str) -> None:
        if self._format is None:
            decode(file, self._track(label))
        else:
            self._from_raw(file, label)

    def _from_stream(self, stream: BinaryIO, label: str) -> None:
        if self._format is None:
            with Spool(stream, label) as spool:
                decode(spool, self._track(label))
        else:
            self._from_raw(stream, label)

    def _from_raw(self, stream: BinaryIO, label: str) -> None:
        assert self._format is not None
        assert self._rate is not None
        track, kind = self._track(label), np.dtype(RAW_TYPES[self._format])
        rest = b""
        while data := read_piece(stream, label):
            data = rest + data
            whole = len(data) - len(data) % kind.itemsize
            track.add(scaled(np.frombuffer(data[:whole], kind)[np.newaxis], label), float(self._rate))
            rest = data[whole:]
        track.finish()


def _from_array(array: npt.NDArray[Any], sample_rate: float | None, track: MonoTrack) -> None:
    if not isinstance(sample_rate, int | float | np.integer | np.floating):
        raise InvalidSamples(f"{track.label}: sample_rate must be its rate in Hz, not {sample_rate!r}")
    channels = channels_first(array, track.label)
    for start in range(0, max(1, channels.shape[1]), PIECE_SAMPLES):
        track.add(scaled(channels[:, start : start + PIECE_SAMPLES], track.label), float(sample_rate))
    track.finish()


def channels_first(array: npt.NDArray[Any], label: str) -> npt.NDArray[Any]:
    """[channels, samples] of an array [samples], [samples, channels] or [channels, samples]."""
    if array.ndim == 1:
        return array[np.newaxis]
    if array.ndim != 2 or min(array.shape) > MOST_CHANNELS:
        raise InvalidSamples(f"{label}: shape {array.shape} must be [samples], or [samples, channels] either way round")
    return array if array.shape[0] < array.shape[1] else array.T


def scaled(array: npt.NDArray[Any], label: str) -> npt.NDArray[Any]:
    """Floats as they are, integers of up to 32 bits from their full range to ±1."""
    kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "f":
        return array
    # 64-bit integers mostly hold small numbers, which scaling would turn into silence.
    if kind not in "iu" or bits > 32:
        raise InvalidSamples(f"{label}: its type is {array.dtype}; give int16, int32 or floating point within ±1")
    middle, scale = (2 ** (bits - 1) if kind == "u" else 0), 2.0 ** (bits - 1)
    return ((array.astype(np.float32) - middle) / scale).astype(np.float32)
