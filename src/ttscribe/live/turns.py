"""Turns in sound that is still coming: where somebody begins to speak, and where they have stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ttscribe.audio import SAMPLE_RATE, ChunkReader
from ttscribe.live.voice import Voice
from ttscribe.options import VadOptions
from ttscribe.vad.silero import FRAME

_SAMPLE = 2
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Began:
    """A turn, whose sound begins at ``time``, in seconds of the stream: as long before speech as was asked for."""

    time: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The turn is over: ``time`` is when somebody spoke last, in seconds of the stream."""

    time: float


class Turns:
    """Cuts mono 16-bit PCM into turns by Silero VAD. Of the silence between them only the ``padding`` is kept."""

    def __init__(self, *, sample_rate: int, threshold: float, padding: float, silence: float) -> None:
        """Each turn has ``padding`` seconds before it, and ends after so many of ``silence``.

        Raises OptionError for a threshold that is not between 0 and 1, ModelNotFound where Silero VAD is not installed.
        """
        self._rate, self._padding, self._silence = sample_rate, padding, silence
        self._reader = ChunkReader(sample_rate=sample_rate)
        self._voice = Voice(VadOptions(threshold=threshold))
        # Sound that is not yet given, and where in the stream it begins, in bytes.
        self._kept, self._offset = bytearray(), 0
        self._ended = 0.0
        self.under_way = False

    def hear(self, sound: bytes) -> Iterator[Began | bytes | Ended]:
        """What the next sound tells: turns as they begin and end, and between these their sound."""
        self._kept += sound
        samples = self._reader.hear(sound)
        for start in range(0, len(samples), FRAME):
            self._voice.add(samples[start : start + FRAME])
            if not self.under_way and self._voice.since:
                yield self._begin()
            elif self.under_way and self._voice.silent >= self._silence:
                yield self._taken(self._voice.heard)
                yield self.end()
        if self.under_way:
            yield self._taken(self._voice.heard)
        else:
            self._drop(self._voice.heard - self._padding)

    def end(self) -> Ended:
        """End the turn, or what there is of one, where it is; the next begins with the next speech."""
        self._voice.rest()
        self._ended, self.under_way = self._voice.heard, False
        return Ended(self._voice.last)

    def _begin(self) -> Began:
        self.under_way = True
        # What was heard last is a frame of speech.
        spoken = self._voice.last - FRAME / SAMPLE_RATE
        began = max(spoken - self._padding, self._ended, 0.0)
        self._drop(began)
        return Began(began)

    def _taken(self, time: float) -> bytes:
        """The sound up to there."""
        count = self._bytes_to(time)
        taken = bytes(self._kept[:count])
        del self._kept[:count]
        self._offset += count
        return taken

    def _drop(self, time: float) -> None:
        self._taken(time)

    def _bytes_to(self, time: float) -> int:
        return min(max(round(time * self._rate) * _SAMPLE - self._offset, 0), len(self._kept))
