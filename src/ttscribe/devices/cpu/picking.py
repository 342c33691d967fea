"""The likeliest token that rules allow, by the kernels: a step of a few milliseconds has no time for NumPy's."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from ttscribe import threads
from ttscribe.decoding import Rules, require_number
from ttscribe.devices.cpu import kernels
from ttscribe.types import FloatArray


class Picker:
    """``Rules.pick`` for tokens after a window's first, of logits that are used up.

    With ``model``, the kernels', logits are a row of its screened step.
    """

    def __init__(self, rules: Rules, model: Any = None) -> None:
        self._rules, self._model = rules, model
        grammar = rules.timestamps
        also = [] if grammar is None else [grammar.no_timestamps]
        self._never = np.array([*rules.suppress.tolist(), *also], np.int64)

    def __call__(self, logits: FloatArray, sampled: Sequence[int]) -> tuple[int, float]:
        rules, model = self._rules, self._model
        vocabulary = model.contents.vocabulary if model else len(logits)
        text, times = range(vocabulary), range(vocabulary, vocabulary)
        if rules.timestamps is not None:
            text, times = rules.timestamps.allowed(sampled, vocabulary)
        if rules.repetition is not None:
            rules.repetition.apply(logits, sampled)
        logprob = ctypes.c_float()
        token = kernels.library().ttscribe_pick(
            model,
            logits.ctypes.data,
            self._never.ctypes.data,
            len(self._never),
            text.start,
            text.stop,
            times.start,
            times.stop,
            logprob,
            threads.count(),
        )
        return token, require_number(logprob.value)
