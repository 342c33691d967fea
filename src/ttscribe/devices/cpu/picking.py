"""The likeliest token that rules allow, by the kernels: a step of a few milliseconds has no time for PyTorch's."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from ttscribe.decoding import Rules, require_number
from ttscribe.devices.cpu import kernels


class Picker:
    """``Rules.pick`` for tokens after a window's first, of logits that are used up."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        grammar = rules.timestamps
        also = rules.suppress.new_tensor([] if grammar is None else [grammar.no_timestamps])
        self._never = torch.cat((rules.suppress, also))

    def __call__(self, logits: Tensor, sampled: Sequence[int]) -> tuple[int, float]:
        rules, vocabulary = self._rules, len(logits)
        text, times = range(vocabulary), range(vocabulary, vocabulary)
        if rules.timestamps is not None:
            text, times = rules.timestamps.allowed(sampled, vocabulary)
        if rules.repetition is not None:
            rules.repetition.apply(logits, sampled)
        logprob = ctypes.c_float()
        token = kernels.library().ttscribe_pick(
            logits.data_ptr(),
            self._never.data_ptr(),
            len(self._never),
            text.start,
            text.stop,
            times.start,
            times.stop,
            logprob,
        )
        return token, require_number(logprob.value)
