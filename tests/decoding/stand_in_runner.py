"""A runner whose model is a function of the tokens so far: what decoding does is then known beforehand."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ttscribe.decoding import LAST, Closable, Picks, Rules, greedy_on_host
from ttscribe.types import FloatArray, IntArray


class StandIn(Closable):
    """``logits_of`` takes the tokens of a row, the prompt's first, and gives logits [V]; a state is rows' tokens."""

    max_batch = 8
    concurrent = True

    def __init__(
        self, logits_of: Callable[[list[int]], FloatArray], positions: int = 20, max_decodings: int | None = None
    ) -> None:
        self.logits_of, self.max_decodings = logits_of, max_decodings
        self.config = SimpleNamespace(max_target_positions=positions)
        self.steps = 0

    def start(self, encoder_states: Any = None) -> list[list[int]]:
        return [[]]

    def prefill(self, tokens: IntArray, state: list[list[int]], rows: Sequence[int] = LAST) -> FloatArray:
        state[:] = tokens.tolist()
        ends = np.arange(1, tokens.shape[1] + 1)[[*rows]].tolist()
        return np.stack([np.stack([self.logits_of(row[:end]) for end in ends]) for row in state])

    def decode_step(self, token: IntArray, position: IntArray, state: list[list[int]]) -> FloatArray:
        self.steps += 1
        for row, new, at in zip(state, token.tolist(), position.tolist(), strict=True):
            assert at == len(row)
            row.append(new)
        return np.stack([self.logits_of(row) for row in state])

    def greedy(self, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int) -> None:
        greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)

    def reorder(self, state: list[list[int]], rows: Sequence[int]) -> list[list[int]]:
        return [[*state[row]] for row in rows]
