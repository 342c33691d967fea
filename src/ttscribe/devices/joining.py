"""Threads that decode at the same time take their steps together: weights are read once for the rows of all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ttscribe.types import FloatArray, IntArray

Compute: TypeAlias = Callable[[IntArray, IntArray, list[Any]], FloatArray]
"""Tokens [B] at their positions [B], and a state of B rows, to logits [B, V]."""

_PATIENCE = 0.005
"""Seconds that a step waits for those of others who are decoding: what they take to pick their tokens, and no more."""


@dataclass(eq=False, slots=True)
class _Step:
    """One thread's, with its rows of logits, or what went wrong, once it is done."""

    token: IntArray
    position: IntArray
    state: list[Any]
    logits: FloatArray | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.logits is not None or self.error is not None


class JoinedSteps:
    """A decode step that any number of threads may ask for, of at most ``most`` rows.

    While one is computed others wait, and are then computed as one, a row each as if alone: whoever begins to decode
    takes part from its next step on, and whoever ends leaves its place at once.
    """

    def __init__(self, compute: Compute, most: int) -> None:
        self._compute, self._most = compute, most
        self._changed = threading.Condition()
        self._waiting: list[_Step] = []
        self._decoding = 0
        self._is_computing = False

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """While a thread takes step after step: others' steps wait a moment for its next one."""
        with self._changed:
            self._decoding += 1
        try:
            yield
        finally:
            with self._changed:
                self._decoding -= 1
                self._changed.notify_all()

    def __call__(self, token: IntArray, position: IntArray, state: list[Any]) -> FloatArray:
        """The rows' logits. Raises what computing does."""
        mine = _Step(token, position, state)
        with self._changed:
            self._waiting.append(mine)
            self._changed.notify_all()
        while not mine.is_done:
            self._take_turn(mine)
        if mine.error is not None:
            raise mine.error
        assert mine.logits is not None
        return mine.logits

    def _take_turn(self, mine: _Step) -> None:
        """Wait until ``mine`` is done by another thread, or compute what is waiting."""
        with self._changed:
            self._changed.wait_for(lambda: mine.is_done or not self._is_computing)
            if mine.is_done:
                return
            self._is_computing = True
        # Whatever interrupts this thread from here on, another one can compute.
        try:
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) >= self._decoding, _PATIENCE)
                steps = self._next()
            self._do(steps)
        finally:
            with self._changed:
                self._is_computing = False
                self._changed.notify_all()

    def _next(self) -> list[_Step]:
        """Steps in the order in which they came, as many as go together."""
        rows, steps = 0, list[_Step]()
        while self._waiting and (not steps or rows + len(self._waiting[0].state) <= self._most):
            steps.append(self._waiting.pop(0))
            rows += len(steps[-1].state)
        return steps

    def _do(self, steps: list[_Step]) -> None:
        try:
            logits = self._compute(
                np.concatenate([step.token for step in steps]),
                np.concatenate([step.position for step in steps]),
                [row for step in steps for row in step.state],
            )
        except BaseException as error:
            # Each thread raises it: none waits for ever.
            for step in steps:
                step.error = error
            if not isinstance(error, Exception):
                raise  # an interrupt is this thread's own
            return
        ends = np.cumsum([len(step.state) for step in steps])
        for step, own in zip(steps, np.split(logits, ends[:-1]), strict=True):
            step.logits = own
