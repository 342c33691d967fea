"""What is shown when: segments as they are, or their words laid out in lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from ttscribe.types import Segment, Word

_LONG_PAUSE = 3.0
"""Seconds without a word after which text that is cut by lines begins a new subtitle, as in OpenAI's whisper."""

# What str.splitlines takes for the end of a line.
_LINE_END = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class SubtitleLayout:
    """How the words of subtitles are laid out; segments must have words. The options are those of OpenAI's whisper.

    Attributes:
        max_line_width: characters of a line; a longer word has a line of its own.
        max_line_count: lines of a subtitle, which then takes words of several segments; needs ``max_line_width``.
        max_words_per_line: words of a subtitle, which has one line; not together with ``max_line_width``.
        highlight_words: show each subtitle again for every word, which is underlined while it is said.
    """

    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    highlight_words: bool = False

    def __post_init__(self) -> None:
        """Raises OptionError for a number below 1, and for options that exclude or need one another."""
        for name in ("max_line_width", "max_line_count", "max_words_per_line"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise OptionError(f"{name} must be a whole number from 1, not {value!r}")
        if self.max_line_count is not None and self.max_line_width is None:
            raise OptionError("max_line_count needs max_line_width, for without it no line is full")
        if self.max_words_per_line is not None and self.max_line_width is not None:
            raise OptionError("max_words_per_line and max_line_width exclude each other: give one of them")


@dataclass(frozen=True, slots=True)
class Subtitle:
    """Text in three parts, the second underlined, shown from ``start`` to ``end`` in milliseconds."""

    start: int
    end: int
    text: str
    underlined: str = ""
    rest: str = ""


def one_line(text: str) -> str:
    """The text without line ends, which would end a subtitle or a row."""
    return " ".join(part.strip() for part in text.splitlines()).strip()


def milliseconds(timed: Segment | Word) -> tuple[int, int]:
    """Start and end, neither below zero nor the end before the start."""
    start = max(0, round(timed.start * 1000))
    return start, max(start, round(timed.end * 1000))


def subtitles(segments: Iterable[Segment], layout: SubtitleLayout | None) -> Iterator[Subtitle]:
    """The subtitles of segments as soon as each is complete; without a layout one for each segment.

    Raises OptionError where words are to be laid out and a segment has none.
    """
    if layout is None:
        for segment in segments:
            yield Subtitle(*milliseconds(segment), one_line(segment.text))
        return
    for lines in _pages(segments, layout):
        words = [word for line in lines for word in line]
        if layout.highlight_words:
            yield from _word_by_word(words, _texts(lines))
        else:
            yield Subtitle(milliseconds(words[0])[0], milliseconds(words[-1])[1], "".join(_texts(lines)))


def _pages(segments: Iterable[Segment], layout: SubtitleLayout) -> Iterator[list[list[Word]]]:
    """Words in lines, for each subtitle."""
    each = (_words(segment) for segment in segments)
    if layout.max_line_count is not None:
        yield from _filled((word for words in each for word in words), layout)
        return
    for words in each:
        count = layout.max_words_per_line
        if count is None:
            yield from _filled(words, layout)
        else:
            yield from ([words[first : first + count]] for first in range(0, len(words), count))


def _words(segment: Segment) -> list[Word]:
    if segment.text and not segment.words:
        raise OptionError("words can be laid out only where there are word times: transcribe with word_timestamps=True")
    return [word for word in segment.words if word.text.strip()]


def _filled(words: Iterable[Word], layout: SubtitleLayout) -> Iterator[list[list[Word]]]:
    """Lines as full as their width allows, as many of them together as may be."""
    lines: list[list[Word]] = []
    width, said = 0, 0.0
    for word in words:
        paused = layout.max_line_count is not None and word.start - said > _LONG_PAUSE
        has_room = layout.max_line_width is None or width + len(word.text) <= layout.max_line_width
        if lines and has_room and not paused:
            lines[-1].append(word)
            width += len(word.text)
        else:
            if lines and (paused or len(lines) == layout.max_line_count):
                yield lines
                lines = []
            lines.append([word])
            width = len(word.text.strip())
        said = word.end
    if lines:
        yield lines


def _texts(lines: list[list[Word]]) -> list[str]:
    """The texts of the words, those that begin a line without the space before them."""
    texts = [[_LINE_END.sub(" ", word.text) for word in line] for line in lines]
    for number, line in enumerate(texts):
        line[0] = ("\n" if number else "") + line[0].lstrip()
        line[-1] = line[-1].rstrip()
    return [text for line in texts for text in line]


def _word_by_word(words: list[Word], texts: list[str]) -> Iterator[Subtitle]:
    """All the text for every word, which is underlined while it is said, and between words without underlining."""
    shown, _ = milliseconds(words[0])
    for index, word in enumerate(words):
        start, end = milliseconds(word)
        if shown < start:
            yield Subtitle(shown, start, "".join(texts))
        said = texts[index].lstrip()
        before = "".join(texts[: index + 1])
        yield Subtitle(start, end, before[: len(before) - len(said)], said, "".join(texts[index + 1 :]))
        shown = end
