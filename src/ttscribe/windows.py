"""Windows of a recording: where each starts and stops, and how they are gone through."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch

from ttscribe.audio import HOP, SAMPLE_RATE, Recording
from ttscribe.decoding import Context, Outcome, Runner, WindowDecoder
from ttscribe.errors import StateGone
from ttscribe.types import SpeechSeconds
from ttscribe.vad import Speech

FRAMES_PER_SECOND = SAMPLE_RATE // HOP


@dataclass(slots=True)
class RecordingWindow:
    """A window of a recording from frame ``seek`` on, encoded once for as long as the device keeps it.

    Nothing from frame ``stop`` on is heard, where that is given.
    """

    runner: Runner
    recording: Recording
    seek: int = 0
    stop: int | None = None
    speech_seconds: SpeechSeconds | None = None
    encoded: Any = None

    @property
    def last(self) -> int:
        """The frame at which this window, and those after it, must end."""
        return self.recording.frames if self.stop is None else self.stop

    @property
    def frames(self) -> int:
        return min(self.runner.config.mel_frames, self.last - self.seek)

    def features(self, first: int = 0, last: int | None = None) -> torch.Tensor:
        """Log-mel [bins, 3000] of its frames from ``first`` on, to ``last`` where given, and zeros."""
        stop = self.stop if last is None else self.seek + last
        return self.recording.window(self.seek + first, stop)

    def start(self, first: int = 0, last: int | None = None) -> Any:
        if (first, last) != (0, None):
            return self.runner.start(self._encode(first, last))
        if self.encoded is not None:
            try:
                return self.runner.start(self.encoded)
            except StateGone:
                pass  # another window, or a part of this one, took their place: they are made again
        self.encoded = self._encode()
        return self.runner.start(self.encoded)

    def speech(self, start: float, end: float) -> float | None:
        offset = self.seek / FRAMES_PER_SECOND
        return None if self.speech_seconds is None else self.speech_seconds(offset + start, offset + end)

    def _encode(self, first: int = 0, last: int | None = None) -> Any:
        return self.runner.encode(self.features(first, last)[None])


def first_windows(runner: Runner, recording: Recording, speech: Speech, *, cut: bool) -> list[RecordingWindow]:
    """Where decoding begins: after each long pause, with ``cut`` also after shorter ones, so that no window is longer.

    Every frame with speech lies between a window's ``seek`` and its ``stop``.
    """
    seconds = runner.config.mel_frames / FRAMES_PER_SECOND
    return [
        RecordingWindow(
            runner,
            recording,
            math.floor(span.start * FRAMES_PER_SECOND),
            min(recording.frames, math.ceil(span.end * FRAMES_PER_SECOND)),
            speech.seconds,
        )
        # A frame less, for both ends are rounded outwards.
        for span in (speech.windows(seconds - 1 / FRAMES_PER_SECOND) if cut else speech.stretches())
        if span.start * FRAMES_PER_SECOND < recording.frames
    ]


def grouped(windows: Sequence[RecordingWindow], size: int, alone: int) -> list[Sequence[RecordingWindow]]:
    """Windows in order, ``size`` to be decoded together, after the first ``alone`` ones, which are by themselves."""
    first = [windows[at : at + 1] for at in range(min(alone, len(windows)))]
    return first + [windows[at : at + size] for at in range(alone, len(windows), size)]


@dataclass(frozen=True, slots=True)
class Walk:
    """Goes through the windows of one recording; ``turn`` is held for what a device does without interruption."""

    decoder: WindowDecoder
    context: Context
    seed: int
    turn: Callable[[], AbstractContextManager[None]]

    def outcomes(self, groups: Sequence[Sequence[RecordingWindow]]) -> Iterator[tuple[RecordingWindow, Outcome]]:
        """Windows in order with what became of each: each group's are decoded together, those after them one by one."""
        for group in groups:
            with self.turn():
                outcomes = self._together(group)
            for window in group:
                window.encoded = None  # hours of windows would keep their encoder states
            for first, outcome in zip(group, outcomes, strict=True):
                yield from self._on_from(first, outcome)

    def _together(self, group: Sequence[RecordingWindow]) -> list[Outcome]:
        prompt, seeds = self.context.prompt(), [self.seed + window.seek for window in group]
        if len(group) == 1:
            return [self.decoder.decode(group[0], prompt, seeds[0])]
        runner = group[0].runner
        state = runner.start(runner.encode(torch.stack([window.features() for window in group])))
        return self.decoder.decode_together(group, state, prompt, seeds)

    def _on_from(self, window: RecordingWindow, outcome: Outcome) -> Iterator[tuple[RecordingWindow, Outcome]]:
        """A window, and those that follow from where its segments end until its stretch does."""
        while True:
            self.context.add(outcome)
            yield window, outcome
            window = replace(window, seek=window.seek + outcome.advance, encoded=None)
            if window.seek >= window.last:
                return
            with self.turn():
                outcome = self.decoder.decode(window, self.context.prompt(), self.seed + window.seek)
