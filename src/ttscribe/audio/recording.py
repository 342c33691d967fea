"""A recording of any length as Whisper hears it, in memory that does not grow with it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ttscribe.audio.features import HOP, WINDOW_FRAMES, LogPowerStream, limit_range
from ttscribe.audio.sources import hear
from ttscribe.audio.spool import no_room, temporary_file
from ttscribe.audio.track import SAMPLE_RATE
from ttscribe.types import AudioSource, Features, InputFormat, LogPower, Samples


class Recording:
    """Log-mel features of a whole recording, given window by window: of each the same as ``log_mel``'s, to the bit.

    ``frames`` is how many of them are sound, at least 1; ``seconds`` is its length. What does not depend on the loudest
    place is computed once and kept in a temporary file, in memory up to 64 MiB (35 minutes in 80 bins) and beyond on
    disk without a name: 115 MB for an hour in 80 bins, 184 MB in 128. It goes with the object. One thread at a time.
    """

    def __init__(self, power: Any, bins: int, held: int, samples: int, loudest: np.float32) -> None:
        """``power`` is a file of ``held`` frames, each float32 [bins]."""
        # Less than 10 ms is no frame, but a recording has at least one window.
        self.frames = max(1, samples // HOP)
        self.seconds = samples / SAMPLE_RATE
        self._power, self._bins, self._held, self._loudest = power, bins, held, loudest
        weakref.finalize(self, power.close)

    def window(self, start: int, stop: int | None = None) -> Features:
        """Features [bins, 3000] from frame ``start`` to ``stop``, at most 30 s, and zeros after them."""
        stop = min(start + WINDOW_FRAMES, self._held, self._held if stop is None else stop)
        count, size = max(0, stop - start), 4 * self._bins
        self._power.seek(start * size)
        rows = np.frombuffer(bytearray(self._power.read(count * size)), np.float32).reshape(count, self._bins)
        features = np.zeros((self._bins, WINDOW_FRAMES), np.float32)
        features[:, :count] = limit_range(rows, self._loudest).T
        return features


def listen(
    source: AudioSource,
    num_mel_bins: int,
    *,
    sample_rate: float | None = None,
    input_format: InputFormat | None = None,
    max_duration: float = math.inf,
    also: Callable[[Samples], None] | None = None,
    transform: LogPower | None = None,
) -> Recording:
    """Read all of a recording; ``also`` is given its samples too, mono at 16 kHz, piece by piece.

    ``transform`` is what features are made by, PyTorch's where it is None. The other arguments are those of ``hear``,
    which raises what can go wrong.
    """
    features = _Features(num_mel_bins, transform)
    try:
        hear(
            source,
            lambda samples: _both(samples, features.add, also),
            sample_rate=sample_rate,
            input_format=input_format,
            max_duration=max_duration,
        )
        return features.finish()
    except BaseException:
        features.close()
        raise


def _both(samples: Samples, first: Callable[[Samples], None], second: Callable[[Samples], None] | None) -> None:
    first(samples)
    if second is not None:
        second(samples)


class _Features:
    """Takes samples and writes the features that a Recording reads."""

    def __init__(self, num_mel_bins: int, transform: LogPower | None) -> None:
        self._bins = num_mel_bins
        self._file = temporary_file()
        self._stream = LogPowerStream(num_mel_bins, self._write, transform)
        self._loudest = np.float32(-math.inf)
        self._samples = 0

    def add(self, samples: Samples) -> None:
        self._samples += len(samples)
        self._stream.add(samples)

    def finish(self) -> Recording:
        self._stream.finish()
        return Recording(self._file, self._bins, self._stream.frames, self._samples, self._loudest)

    def close(self) -> None:
        self._file.close()

    def _write(self, power: Features) -> None:
        self._loudest = np.maximum(self._loudest, power.max())
        try:
            self._file.write(power.tobytes())
        except OSError as error:
            raise no_room("the recording", error) from error
