"""Windows of several recordings that wait for one device: whoever has it next decodes them with its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from ttscribe.decoding import Outcome, Prompt, Runner, Window, WindowDecoder
from ttscribe.errors import ModelError
from ttscribe.options import DecodingOptions
from ttscribe.types import Features, FloatArray

Gathered: TypeAlias = tuple[Outcome, FloatArray | None]
"""What became of a window, and its encoder states [S, D], float32, where they were asked for and it has segments."""


class RunnersWindow(Window, Protocol):
    """A window that is encoded by a runner: ``whole`` where silence is encoded as all else."""

    runner: Runner
    whole: bool

    @property
    def encode(self) -> Callable[[Features], Any]:
        """What encodes features as those of this window."""

    def features(self) -> Features:
        """Log-mel [num_mel_bins, 3000]."""

    def encoder_states(self) -> FloatArray:
        """Its encoder states: float32 [S, D]."""


class Way(NamedTuple):
    """How a window is decoded: those of one way can be decoded together where their prompts are as long."""

    options: DecodingOptions
    timestamps: bool
    states: bool


@dataclass(eq=False, slots=True)
class _Waiting:
    """A window, and once it was decoded what became of it."""

    way: Way
    decoder: WindowDecoder
    window: RunnersWindow
    prompt: Prompt
    seed: int
    alone: bool
    gathered: Gathered | None = None

    def goes_with(self, other: _Waiting) -> bool:
        """Whether both can be rows of one batch: their prompts may differ in tokens, and in nothing else."""
        mine, theirs = (
            (each.way, each.window.whole, len(each.prompt.tokens), each.prompt.start, each.prompt.given)
            for each in (self, other)
        )
        return mine == theirs and not (self.alone or other.alone)


class Gathering:
    """Decodes windows on a device that serves one thread at a time, and takes ``most`` rows at once.

    While one thread has the device others wait for it. The next takes what waits with its own window, as far as it is
    decoded in the same way, and the others find theirs done. Each is what it would be alone.
    """

    def __init__(self, turn: Callable[[], AbstractContextManager[None]], most: int) -> None:
        """``turn`` is held by the thread that has the device."""
        self.turn, self._most = turn, most
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def decode(self, way: Way, decoder: WindowDecoder, window: RunnersWindow, prompt: Prompt, seed: int) -> Gathered:
        """``decoder.decode`` of one window. Raises what that does, and what a turn does."""
        alone = way.options.ladder[0] > 0 or way.options.beam_size > self._most // 2
        own = _Waiting(way, decoder, window, prompt, seed, alone)
        with self._lock:
            self._waiting.append(own)
        try:
            with self.turn():
                return own.gathered or self._decoded(own)
        finally:
            with self._lock:
                if own in self._waiting:
                    self._waiting.remove(own)

    def _decoded(self, own: _Waiting) -> Gathered:
        group = self._taken(own)
        if len(group) > 1:
            try:
                _decode_together(group)
            except ModelError:
                # Of one of them, perhaps of another's: each finds out by itself.
                for each in group:
                    each.alone = True
        return own.gathered or _alone(own)

    def _taken(self, own: _Waiting) -> list[_Waiting]:
        """``own`` and those that go with it, which wait no longer."""
        with self._lock:
            others = [each for each in self._waiting if each is not own and each.goes_with(own)]
            group = [own, *others[: self._most // own.way.options.beam_size - 1]]
            self._waiting = [each for each in self._waiting if each not in group]
        return group


def _decode_together(group: list[_Waiting]) -> None:
    first, windows = group[0], [each.window for each in group]
    runner = first.window.runner
    encoded = first.window.encode(np.stack([window.features() for window in windows]))
    # Now: a window that is tried again alone may take their place on the device.
    states = runner.encoder_states(encoded) if first.way.states else [None] * len(group)
    prompts, seeds = [each.prompt for each in group], [each.seed for each in group]
    outcomes = first.decoder.decode_together(windows, runner.start(encoded), prompts, seeds)
    for each, *gathered in zip(group, outcomes, states, strict=True):
        outcome, its_states = gathered
        each.gathered = outcome, its_states


def _alone(own: _Waiting) -> Gathered:
    outcome = own.decoder.decode(own.window, own.prompt, own.seed)
    return outcome, own.window.encoder_states() if own.way.states and outcome.segments else None
