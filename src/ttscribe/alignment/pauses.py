"""Words begin and end where pauses end and begin, by the loudness of the audio.

Attention tells which word is said about when, but not to where the silence around it reaches: OpenAI's whisper gives
most of a pause to the sign before it or the word after it, and ends the last word before it too early.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ttscribe.alignment.corrections import Timing
from ttscribe.types import Features

_FRAMES_PER_SECOND = 100

_NOISE, _SPEECH = 5, 90
"""Percentiles of loudness that stand for a window's background and for its speech."""

_QUIET = 0.15
"""How far above the background, on the way to the speech, a pause may be. Higher takes weak consonants for silence."""

_SHORTEST = 10
"""Frames of a pause: 0.1 s. Closed lips and tongue, before p, t and k, are silent for less."""

_EARLY, _LATE = 0.35, 0.15
"""Seconds by which attention may be early or late: a pause so near to where two words meet lies between them.

Attention turns to the word after a pause while the last one before it is still being said.
"""

_REACH = 1.0
"""Seconds of audio between words and pauses that may be speech of theirs; more is something else."""


class Pauses:
    """The pauses of a window, found in its log-mel [bins, frames]."""

    def __init__(self, mel: Features) -> None:
        loudness = mel.mean(0)
        noise, speech = np.percentile(loudness, (_NOISE, _SPEECH))
        loud = _without_clicks(loudness > noise + _QUIET * (speech - noise))
        runs = np.flatnonzero(np.diff(np.pad(~loud, 1).astype(np.int8))).reshape(-1, 2)
        self._pauses: list[tuple[float, float]] = [
            (first / _FRAMES_PER_SECOND, stop / _FRAMES_PER_SECOND)
            for first, stop in runs.tolist()
            if stop - first >= _SHORTEST
        ]
        self._seconds = mel.shape[1] / _FRAMES_PER_SECOND

    def fit(self, words: Sequence[Timing]) -> None:
        """Move the ends of words to where pauses begin, and the starts of words to where pauses end.

        Where there is no pause between two words, sound between them belongs to the first.
        """
        for before, after in zip([None, *words], [*words, None], strict=True):
            end = before.end if before else 0.0
            start = after.start if after else self._seconds
            if between := self._between(before, after, end, start):
                begins, stops = between[0][0], between[-1][1]
            elif before and after:
                begins = stops = start
            else:
                continue
            if before and begins - end <= _REACH:
                before.end = begins
            if after and start - stops <= _REACH:
                after.start = stops

    def _between(
        self, before: Timing | None, after: Timing | None, end: float, start: float
    ) -> list[tuple[float, float]]:
        """The pauses that touch the time from ``end`` to ``start``, or else the nearest one that is near.

        None of them may take all of a word away.
        """
        possible = [
            (begins, stops)
            for begins, stops in self._pauses
            if begins <= start + _EARLY
            and stops >= end - _LATE
            and (before is None or begins > before.start)
            and (after is None or stops < after.end)
        ]
        touching = [(begins, stops) for begins, stops in possible if begins <= start and stops >= end]
        return touching or sorted(possible, key=lambda pause: max(end - pause[1], pause[0] - start))[:1]


def _without_clicks(loud: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Loud frames but those that are alone."""
    padded = np.pad(loud, 1)
    return loud & (padded[:-2] | padded[2:])
