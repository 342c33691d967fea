"""Text between silences whose words look as if nobody said them, and from where the audio is decoded again instead.

OpenAI's ``hallucination_silence_threshold``: words that are very short, very long or improbable are anomalous, and a
segment of such words with silence before and after it is decoded again without the silence before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttscribe.options import CLOSING, OPENING
from ttscribe.types import Word

_IMPROBABLE = 0.15
_SHORT, _LONG = 0.133, 2.0
"""Seconds of a word, below and above which it is anomalous."""

_PER_SHORT_SECOND = 15
_WORDS = 8
"""Of a segment, from its first on, that are looked at."""

_NEAR, _WINDOW = 2.0, 30.0
"""Seconds from the edges of 30 s within which a segment counts as having silence there."""

_LEAST_STEP = 1.0
"""Seconds by which the next window starts later, at least."""


@dataclass(slots=True)
class SilenceSkip:
    """Passes over silences of more than ``threshold`` seconds around anomalous segments, in the windows of a recording.

    ``heard_until`` is where the last word that was kept ends, in seconds of the recording.
    """

    threshold: float
    heard_until: float = 0.0

    def resume(
        self, segments: Sequence[Sequence[Word]], start: float, end: float, last: float
    ) -> tuple[int, float] | None:
        """How many of a window's segments stay, and the time at which decoding begins anew; None: all is in order.

        ``segments`` are the words of each, in seconds of the window, which lies from ``start`` to ``end`` of the
        recording; those that are asked for end at ``last``. The time is the recording's, later than ``start``.
        """
        found = self._found(segments, start, end, last)
        kept = [words for words in segments[: None if found is None else found[0]] if words]
        if kept:
            self.heard_until = start + kept[-1][-1].end
        return found

    def _found(
        self, segments: Sequence[Sequence[Word]], start: float, end: float, last: float
    ) -> tuple[int, float] | None:
        spoken = [(index, words) for index, words in enumerate(segments) if words]
        if spoken and is_anomalous(spoken[0][1]) and (gap := spoken[0][1][0].start) > self.threshold:
            return 0, start + gap
        heard_until = self.heard_until
        for position, (index, words) in enumerate(spoken):
            first, until = start + words[0].start, start + words[-1].end
            after = spoken[position + 1][1] if spoken[position + 1 :] else None
            if is_anomalous(words):
                next_start = end if after is None else start + after[0].start
                before = first - heard_until > self.threshold or first < self.threshold
                silence_before = before or first - start < _NEAR
                silence_after = next_start - until > self.threshold or start + _WINDOW - until < _NEAR
                if silence_before and (silence_after or (after is not None and is_anomalous(after))):
                    return index, last if last - until < self.threshold else max(start + _LEAST_STEP, first)
            heard_until = until
        return None


def is_anomalous(words: Sequence[Word]) -> bool:
    """Whether a segment's first words are, all or three of them, such as nobody says."""
    looked_at = [word for word in words if word.text.strip() not in OPENING + CLOSING][:_WORDS]
    score = sum(map(_score, looked_at))
    return score >= 3 or score + 0.01 >= len(looked_at)


def _score(word: Word) -> float:
    duration = word.end - word.start
    return (
        (word.probability < _IMPROBABLE) + max(0.0, _SHORT - duration) * _PER_SHORT_SECOND + max(0.0, duration - _LONG)
    )
