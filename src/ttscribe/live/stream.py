"""The buffer of a stream: what is decoded when, what is committed, and where it is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ttscribe.audio import SAMPLE_RATE
from ttscribe.errors import AudioError, DeviceUnavailable, OptionError
from ttscribe.live.agreement import Agreement
from ttscribe.live.voice import Voice
from ttscribe.options import VadOptions
from ttscribe.types import LiveText, Samples, SpeechSeconds, Word

_LEAD = 0.5
"""Seconds before speech that are heard with it."""

_STEP = 10.0
"""Seconds that are taken at most before the buffer is decoded again, where more has come."""

_LONG, _LONGEST = 15.0, 18.0
"""Seconds from which on the buffer is cut where a sentence ends, and where any word does: with a step it fits 30 s."""

_PROMPT = 200
"""Characters of committed text before the buffer that a decoding is told."""

_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "।")

Decode = Callable[[Samples, str, SpeechSeconds], Sequence[Word]]
"""From samples of up to 30 s, the text before them, and when somebody speaks in them, to words with times in them."""


class Stream:
    """Commits the words of a stream as they are agreed on; memory and the cost of a decoding do not grow with it."""

    def __init__(self, decode: Decode, *, min_chunk: float, pause: float, vad: VadOptions) -> None:
        """``min_chunk`` seconds of new sound are decoded; ``pause`` seconds of silence commit all that was said.

        Raises OptionError for another time than 0.1 to 10 s, ModelNotFound where Silero VAD is not installed.
        """
        for name, value in (("min_chunk", min_chunk), ("pause", pause)):
            if not 0.1 <= value <= _STEP:
                raise OptionError(f"{name} must be 0.1 to {_STEP:g} s, not {value!r}")
        self._decode, self._min_chunk, self._pause = decode, min_chunk, pause
        self._voice, self._agreement = Voice(vad), Agreement()
        self._buffer = np.empty(0, np.float32)
        self._offset = 0
        # The end of what was decoded, in samples of the stream, and text before the buffer.
        self._decoded = 0
        self._before = ""
        self._shown = False

    def texts(self, pieces: Iterable[Samples]) -> Iterator[LiveText]:
        """What is heard in mono 16 kHz samples as they come, until there are no more; then the rest is committed.

        So it is where ``pieces`` raise an error, which is raised after it.
        """
        failure = None
        try:
            for piece in pieces:
                for start in range(0, len(piece), round(_STEP * SAMPLE_RATE)):
                    yield from self._take(piece[start : start + round(_STEP * SAMPLE_RATE)])
        except (AudioError, DeviceUnavailable) as error:
            failure = error
        yield from self._end()
        if failure is not None:
            raise failure

    def _take(self, samples: Samples) -> Iterator[LiveText]:
        self._voice.add(samples)
        self._buffer = np.concatenate([self._buffer, samples])
        if not self._voice.since:
            self._drop(self._end_time - _LEAD)
        elif self._voice.silent >= self._pause:
            yield from self._end()
        elif self._taken - self._decoded >= self._min_chunk * SAMPLE_RATE:
            committed = self._agreement.hear(self._words())
            yield from self._told([*committed, *self._shorten()])

    def _end(self) -> Iterator[LiveText]:
        """Commit all that was said."""
        if self._voice.since:
            committed: list[Word] = []
            if self._decoded < self._voice.last * SAMPLE_RATE:
                committed = self._agreement.hear(self._words())
            yield from self._told([*committed, *self._agreement.finish()])
            self._voice.rest()
            self._cut(self._end_time - _LEAD)

    def _words(self) -> list[Word]:
        """Of the whole buffer, in the times of the stream."""
        offset = self._offset / SAMPLE_RATE
        self._decoded = self._taken
        words = self._decode(
            self._buffer, self._before, lambda start, end: self._voice.seconds(offset + start, offset + end)
        )
        return [replace(word, start=offset + word.start, end=offset + word.end) for word in words]

    def _shorten(self) -> list[Word]:
        """Cut a buffer that is long at the end of a sentence or a word; gives what had to be committed for it."""
        if self._seconds > _LONG:
            ends = [word.end for word in self._agreement.committed if word.text.endswith(_SENTENCE_ENDS)]
            if ends:
                self._cut(ends[-1])
        if self._seconds > _LONGEST:
            self._cut(self._agreement.end)
        if self._seconds <= _LONGEST:
            return []
        forced = self._agreement.finish()
        self._cut(max(self._agreement.end, self._end_time - _LONG))
        return forced

    def _told(self, committed: Sequence[Word]) -> Iterator[LiveText]:
        if committed:
            yield _text(committed, committed=True)
        pending = self._agreement.pending
        if pending:
            yield _text(pending, committed=False)
        elif self._shown and not committed:
            yield LiveText(self._end_time, self._end_time, "", committed=False, words=())
        self._shown = bool(pending)

    def _cut(self, time: float) -> None:
        """Let the buffer begin at a time of the stream."""
        gone = "".join(word.text for word in self._agreement.committed if word.end <= time)
        self._before = (self._before + gone)[-_PROMPT:]
        self._agreement.cut(time)
        self._drop(time)

    def _drop(self, time: float) -> None:
        first = min(max(round(time * SAMPLE_RATE), self._offset), self._taken)
        self._buffer = self._buffer[first - self._offset :].copy()
        self._offset = first

    @property
    def _taken(self) -> int:
        return self._offset + len(self._buffer)

    @property
    def _end_time(self) -> float:
        return self._taken / SAMPLE_RATE

    @property
    def _seconds(self) -> float:
        return len(self._buffer) / SAMPLE_RATE


def _text(words: Sequence[Word], *, committed: bool) -> LiveText:
    return LiveText(words[0].start, words[-1].end, "".join(word.text for word in words), committed, tuple(words))
