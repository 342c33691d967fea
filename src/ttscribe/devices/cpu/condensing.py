"""The silence that fills a window up, in a quarter of its positions.

Whisper hears 30 s, and of 10 s of sound twenty are silence, in which nothing changes but the position. Four such
positions are encoded as one, with the mean of their embeddings, that everything attends to four times as much. The
model so still hears 30 s, for about half of the time; docs/cpu.md has what that does to its text.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ttscribe.devices.cpu.kernels import CONDENSED
from ttscribe.types import Features, FloatArray

_MOST_SOUND = 1500
"""Mel frames of sound, 15 s, beyond which a window is encoded in whole: less than a third of it would be saved."""

_AFTER_SOUND = 50
"""Positions of 20 ms, 1 s, that are encoded one by one after the last sound."""


class Encoded(NamedTuple):
    """Encoder states [positions, D]: the first ``single`` are those of a position each, all others of ``CONDENSED``.

    The last single one is the window's last position, at whose edge the convolutions give something else.
    """

    states: FloatArray
    single: int

    def expanded(self) -> FloatArray:
        """[S, D]: each state for all of its positions, in order."""
        first, last = self.states[: self.single - 1], self.states[self.single - 1 : self.single]
        return np.concatenate([first, np.repeat(self.states[self.single :], CONDENSED, 0), last])


def condensed(mel: Features) -> int:
    """How many states stand for ``CONDENSED`` positions each, of features [bins, frames] that end in silence."""
    changes = np.flatnonzero((mel != mel[:, -1:]).any(0))
    heard = int(changes[-1]) + 1 if len(changes) else 0
    # The features of the last sound reach into two frames of silence.
    if heard > _MOST_SOUND + 2:
        return 0
    return (mel.shape[1] // 2 - 1 - _AFTER_SOUND - -(-heard // 2)) // CONDENSED


def with_positions(convolved: FloatArray, embeddings: FloatArray, groups: int) -> Encoded:
    """What the encoder's layers take, of the embeddings [S, D] of all positions.

    ``convolved`` [positions, D] are those before the silence, where there are groups one of the silence, and the last.
    """
    single = len(embeddings) - CONDENSED * groups
    if not groups:
        return Encoded(convolved + embeddings, single)
    means = embeddings[single - 1 : -1].reshape(groups, CONDENSED, -1).mean(1)
    first, silence, last = convolved[:-2], convolved[-2], convolved[-1:]
    return Encoded(np.concatenate([first + embeddings[: single - 1], last + embeddings[-1:], silence + means]), single)
