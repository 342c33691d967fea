"""Which language is spoken, by the model's own word: of one window, or of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ttscribe.decoding.probabilities import softmax
from ttscribe.decoding.runner import Runner
from ttscribe.whisper.tokenizer import Tokenizer

Shares: TypeAlias = dict[str, float]
"""The probability of each language by its code, in all 1, the likeliest first."""


class LanguageDetector:
    """Asks a model which of the languages ``codes`` it hears."""

    def __init__(self, runner: Runner, tokenizer: Tokenizer, codes: Sequence[str]) -> None:
        self._runner, self._codes, self._start = runner, codes, tokenizer.sot
        self._tokens = [tokenizer.language_token(code) for code in codes]

    def shares(self, state: Any, rows: int = 1) -> list[Shares]:
        """Of each of a decoder state's ``rows``, which is used up: what stands after <|startoftranscript|>."""
        logits = self._runner.prefill(np.array([[self._start]] * rows), state)[:, -1]
        return [_ranked(zip(self._codes, row, strict=True)) for row in softmax(logits[:, self._tokens]).tolist()]


def spoken(heard: Iterable[Shares], threshold: float) -> Shares:
    """The first of ``heard`` whose likeliest language is above ``threshold``, else the mean of all.

    There must be at least one. No more of them are taken than that needs.
    """
    taken: list[Shares] = []
    for shares in heard:
        if max(shares.values()) > threshold:
            return shares
        taken.append(shares)
    return _ranked((code, sum(shares[code] for shares in taken) / len(taken)) for code in taken[0])


def likeliest(shares: Shares) -> str:
    """The code of the likeliest language."""
    return next(iter(shares))


def _ranked(pairs: Iterable[tuple[str, float]]) -> Shares:
    return dict(sorted(pairs, key=lambda pair: -pair[1]))
