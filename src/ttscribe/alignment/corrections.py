"""Words that dynamic time warping made too long, shortened as OpenAI's whisper shortens them, and all in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_LONGEST_TYPICAL = 0.7
_SENTENCE_ENDS = ".。!！?？"


@dataclass(slots=True)
class Timing:
    """When a word or a sign is said: seconds from the window's start, and the mean probability of its tokens."""

    text: str
    start: float
    end: float
    probability: float

    @property
    def duration(self) -> float:
        return self.end - self.start


def typical_duration(timings: Sequence[Timing]) -> float:
    """The median of the durations above zero, at most 0.7 s; zero where there are none."""
    durations = [timing.duration for timing in timings if timing.duration > 0]
    return min(_LONGEST_TYPICAL, median(durations)) if durations else 0.0


def shorten_at_sentence_ends(timings: Sequence[Timing], typical: float) -> None:
    """Take the pause between sentences out of the sign that ends one, and of the word that begins the next."""
    for before, timing in pairwise(timings):
        if timing.duration > 2 * typical:
            if timing.text in _SENTENCE_ENDS:
                timing.end = timing.start + 2 * typical
            elif before.text in _SENTENCE_ENDS:
                timing.start = timing.end - 2 * typical


def shorten_at_segment_ends(
    words: Sequence[Timing], start: float, end: float, silent_from: float, typical: float
) -> None:
    """Take the pauses around a segment out of its first two words and its last one.

    ``start`` and ``end`` are the times that the model itself gave the segment, ``silent_from`` is where the words
    before it end.
    """
    first, last = words[0], words[-1]
    _shorten_after_pause(words, silent_from, typical)
    if start < first.end and start - 0.5 > first.start:
        first.start = max(0.0, min(first.end - typical, start))
    if end > last.start and end + 0.5 < last.end:
        last.end = max(last.start + typical, end)


def _shorten_after_pause(words: Sequence[Timing], silent_from: float, typical: float) -> None:
    first, longest = words[0], 2 * typical
    second = words[1] if len(words) > 1 else None
    is_long = first.duration > longest or (second is not None and second.end - first.start > 2 * longest)
    if first.end - silent_from <= 2 * longest or not is_long:
        return
    if second is not None and second.duration > longest:
        # Near the window's start each of the two gets half of the time.
        first.end = second.start = max(second.end / 2, second.end - longest)
    first.start = max(0.0, first.end - longest)


def put_in_order(words: Sequence[Timing], end: float) -> None:
    """No word ends before it starts, starts before the one before it ends, or goes on after ``end`` seconds."""
    latest = 0.0
    for word in words:
        word.start = min(max(word.start, latest), end)
        word.end = latest = min(max(word.end, word.start), end)
