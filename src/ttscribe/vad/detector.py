"""Listening for speech in sound that comes piece by piece."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ttscribe.options import VadOptions
from ttscribe.types import FloatArray, Samples
from ttscribe.vad.level import Level
from ttscribe.vad.silero import CONTEXT, FRAME, SileroNetwork, load_silero
from ttscribe.vad.speech import Span, Speech

_BLOCK = 512 * FRAME
"""Samples heard at once: 16.4 s."""


class FrameListener:
    """Takes mono 16 kHz samples at ±1, in pieces of any length, and says at once how probably somebody speaks.

    Raises ModelNotFound where Silero VAD is not installed.
    """

    def __init__(self) -> None:
        self._network = load_silero()
        self._state = SileroNetwork.first_state()
        self._level = Level()
        # What is not heard yet, after the end of what is: the frames' context.
        self._held = np.zeros(CONTEXT, np.float32)

    def add(self, samples: Samples) -> list[FloatArray]:
        """Probabilities of the frames of 32 ms, in one or more arrays, that float32 samples [any number] complete."""
        joined = np.concatenate([self._held, samples])
        count = (len(joined) - CONTEXT) // FRAME * FRAME
        found = []
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            frames = sliding_window_view(joined[start : stop + CONTEXT], CONTEXT + FRAME)[::FRAME]
            gain = self._level.gain(frames[:, CONTEXT:])
            heard, self._state = self._network(frames if gain == 1 else frames * gain, self._state)
            found.append(heard)
        self._held = joined[count:].copy()
        return found


class SpeechDetector:
    """Takes mono 16 kHz samples at ±1, in pieces of any length; ``finish`` says where somebody spoke.

    An hour leaves 0.45 MB: a probability for each 32 ms. Raises ModelNotFound where Silero VAD is not installed.
    """

    def __init__(self) -> None:
        self._listener = FrameListener()
        self._pieces: list[Samples] = []
        self._held = self._length = 0
        self._probabilities: list[FloatArray] = []

    def add(self, samples: Samples) -> None:
        """Hear float32 samples [any number] that follow those before."""
        self._pieces.append(samples)
        self._held += len(samples)
        self._length += len(samples)
        if self._held >= _BLOCK:
            self._listen(self._held // _BLOCK * _BLOCK)

    def finish(self, options: VadOptions) -> Speech:
        """What was heard in all; the last frame is filled up with zeros."""
        missing = -self._length % FRAME
        self._pieces.append(np.zeros(missing, np.float32))
        self._held += missing
        self._listen(self._held)
        # In C's float32: hours of Python's floats would take eight times as much.
        probabilities = array("f")
        for heard in self._probabilities:
            probabilities.frombytes(heard.tobytes())
        return Speech.of(probabilities, self._length, options)

    def _listen(self, count: int) -> None:
        joined = np.concatenate(self._pieces)
        self._probabilities += self._listener.add(joined[:count])
        self._pieces = [joined[count:].copy()]
        self._held -= count


def speech_spans(samples: Samples, options: VadOptions = VadOptions()) -> list[Span]:  # noqa: B008 - it is immutable
    """Where somebody speaks in float32 ``samples`` [any number], mono at 16 kHz, in order.

    Raises ModelNotFound where Silero VAD is not installed.
    """
    detector = SpeechDetector()
    detector.add(samples)
    return detector.finish(options).spans
