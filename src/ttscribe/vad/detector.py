"""Listening for speech in sound that comes piece by piece."""

from __future__ import annotations

from array import array

import numpy as np
import torch
from torch import Tensor

from ttscribe.options import VadOptions
from ttscribe.types import Samples
from ttscribe.vad.silero import CONTEXT, FRAME, SileroNetwork, load_silero
from ttscribe.vad.speech import Span, Speech

_BLOCK = 512 * FRAME
"""Samples heard at once: 16.4 s."""


class SpeechDetector:
    """Takes mono 16 kHz samples at ±1, in pieces of any length; ``finish`` says where somebody spoke.

    An hour leaves 0.45 MB: a probability for each 32 ms. Raises ModelNotFound where Silero VAD is not installed.
    """

    def __init__(self) -> None:
        self._network = load_silero()
        self._state = SileroNetwork.first_state()
        # The next block, after the end of the last one: the frames' context.
        self._pieces: list[Samples] = [np.zeros(CONTEXT, np.float32)]
        self._held = self._length = 0
        self._probabilities: list[Tensor] = []

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
            probabilities.frombytes(heard.numpy().tobytes())
        return Speech.of(probabilities, self._length, options)

    @torch.inference_mode()
    def _listen(self, count: int) -> None:
        joined = torch.from_numpy(np.concatenate(self._pieces))
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            frames = joined[start : stop + CONTEXT].unfold(0, CONTEXT + FRAME, FRAME)
            heard, self._state = self._network(frames, self._state)
            self._probabilities.append(heard)
        self._pieces = [joined[count:].numpy().copy()]
        self._held -= count


def speech_spans(samples: Samples, options: VadOptions = VadOptions()) -> list[Span]:  # noqa: B008 - it is immutable
    """Where somebody speaks in float32 ``samples`` [any number], mono at 16 kHz, in order.

    Raises ModelNotFound where Silero VAD is not installed.
    """
    detector = SpeechDetector()
    detector.add(samples)
    return detector.finish(options).spans
