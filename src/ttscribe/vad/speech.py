"""From probabilities of speech to spans of it, as Silero VAD's own rules have it, and to where a recording is cut."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from ttscribe.audio import SAMPLE_RATE
from ttscribe.options import VadOptions
from ttscribe.vad.silero import FRAME

LONGEST_PAUSE = 5.0
"""Seconds without speech that stay within a window: Whisper's times after a longer pause are often too early."""

NEAR = 15.0
"""Seconds from where a part should begin in which the longest pause is looked for."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in seconds from the recording's start."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Speech:
    """What a detector heard: ``spans`` of speech in order, and each 32 ms's probability, of silence below ``quiet``."""

    spans: list[Span]
    probabilities: Sequence[float]
    quiet: float

    @classmethod
    def of(cls, probabilities: Sequence[float], length: int, options: VadOptions) -> Speech:
        """Of a recording of ``length`` samples by its frames' probabilities."""
        quiet = max(options.threshold - 0.15, 0.01)
        found = [
            (start, min(end, length))
            for start, end in _spoken(probabilities, quiet, options)
            if min(end, length) - start > _samples(options.min_speech_duration_ms)
        ]
        padded = _padded(found, length, _samples(options.speech_pad_ms))
        return cls([Span(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in padded], probabilities, quiet)

    def seconds(self, start: float, end: float) -> float:
        """Seconds of speech between two times in seconds."""
        first = bisect_right(self.spans, start, key=lambda span: span.end)
        last = bisect_left(self.spans, end, key=lambda span: span.start)
        return sum(min(end, span.end) - max(start, span.start) for span in self.spans[first:last])

    def begun_after(self, time: float) -> Span | None:
        """The first span that begins after a time in seconds."""
        index = bisect_right(self.spans, time, key=lambda span: span.start)
        return self.spans[index] if index < len(self.spans) else None

    def stretches(self) -> list[Span]:
        """The spans, joined where the pause between them is short enough to stay within a window."""
        joined: list[Span] = []
        for span in self.spans:
            if joined and span.start - joined[-1].end <= LONGEST_PAUSE:
                joined[-1] = Span(joined[-1].start, span.end)
            else:
                joined.append(span)
        return joined

    def windows(self, longest: float) -> list[Span]:
        """The stretches, cut to at most ``longest`` seconds where the pauses are: together they hold every span."""
        return [window for stretch in self.stretches() for window in self._cut(stretch, longest)]

    def part(self, index: int, count: int, seconds: float) -> Span:
        """One of ``count`` parts of a recording of so many seconds, of about the same length.

        They follow on each other without a gap. Each begins with the stretch that begins nearest to where it should,
        within a quarter of a part; where there is none, in the longest pause there.
        """
        return Span(self._part_start(index, count, seconds), self._part_start(index + 1, count, seconds))

    def _part_start(self, index: int, count: int, seconds: float) -> float:
        if index in (0, count):
            return seconds if index else 0.0
        length = seconds / count
        wanted = index * length
        first, last = wanted - length / 4, wanted + length / 4
        starts = [stretch.start for stretch in self.stretches() if first <= stretch.start <= last]
        if starts:
            return min(starts, key=lambda start: abs(start - wanted))
        near = min(length / 4, NEAR)
        return self._pause(wanted - near, wanted + near)

    def _cut(self, stretch: Span, longest: float) -> Iterator[Span]:
        start = stretch.start
        while stretch.end - start > longest:
            place = self._pause(start + longest / 2, start + longest)
            yield Span(start, self._before(place))
            start = self._after(place)
        yield Span(start, stretch.end)

    def _pause(self, start: float, end: float) -> float:
        """The middle of the longest pause between two times; where there is none, where speech is least likely."""
        first, last = (int(time * SAMPLE_RATE / FRAME) for time in (start, end))
        pauses = [
            [*frames]
            for is_quiet, frames in groupby(range(first, last), lambda frame: self.probabilities[frame] < self.quiet)
            if is_quiet
        ]
        if pauses:
            longest = max(pauses, key=len)
            return (longest[0] + len(longest) / 2) * FRAME / SAMPLE_RATE
        return min(range(first, last), key=lambda frame: self.probabilities[frame]) * FRAME / SAMPLE_RATE

    def _before(self, time: float) -> float:
        """``time``, or the end of the span before it where no span has it."""
        index = bisect_left(self.spans, time, key=lambda span: span.start)
        return min(time, self.spans[index - 1].end)

    def _after(self, time: float) -> float:
        """``time``, or the start of the span after it where no span has it."""
        index = bisect_right(self.spans, time, key=lambda span: span.end)
        return max(time, self.spans[index].start)


def _samples(milliseconds: float) -> float:
    return milliseconds * SAMPLE_RATE / 1000


def _spoken(probabilities: Sequence[float], quiet: float, options: VadOptions) -> Iterator[tuple[int, int]]:
    """Samples from a frame that reaches the threshold to where a silence begins that lasts long enough."""
    start: int | None = None
    silence: int | None = None
    for frame, probability in enumerate(probabilities):
        if probability >= options.threshold:
            start = frame if start is None else start
            silence = None
        elif start is not None and probability < quiet:
            silence = frame if silence is None else silence
            if (frame - silence) * FRAME >= _samples(options.min_silence_duration_ms):
                yield start * FRAME, silence * FRAME
                start = silence = None
    if start is not None:
        yield start * FRAME, len(probabilities) * FRAME


def _padded(spans: Sequence[tuple[int, int]], length: int, pad: float) -> list[tuple[int, int]]:
    """Each longer by ``pad`` samples at both ends, but by no more than half the silence between two."""
    halves = [(after[0] - before[1]) // 2 for before, after in pairwise(spans)]
    befores = [pad, *(min(pad, half) for half in halves)]
    afters = [*(min(pad, half) for half in halves), pad]
    return [
        (int(max(0, start - before)), int(min(length, end + after)))
        for (start, end), before, after in zip(spans, befores, afters, strict=False)
    ]
