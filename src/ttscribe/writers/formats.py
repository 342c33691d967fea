"""The formats: each turns segments into pieces of text, one piece as each segment comes, that make up the file.

The files are those of OpenAI's whisper, and LRC, which it does not have. Text is one line in all of them but laid out
subtitles, and whatever would be read as the format's own syntax is replaced: ``-->`` in subtitles, tabs in columns,
markup in WebVTT, times in LRC.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ttscribe.errors import OptionError
from ttscribe.writers.subtitles import Subtitle, SubtitleLayout, milliseconds, one_line, subtitles

if TYPE_CHECKING:
    from ttscribe.types import Segment, TranscriptionInfo, Word

FormatName: TypeAlias = Literal["txt", "srt", "vtt", "lrc", "tsv", "json"]
Writer: TypeAlias = "Callable[[Iterable[Segment], TranscriptionInfo], Iterator[str]]"

SCHEMA = "ttscribe.transcript/2"
"""Of JSON transcripts; docs/formats.md describes it."""

_LIKELY = 0.001
"""Probability from which on a language is listed."""


def _clock(milliseconds: int) -> tuple[int, int, int, int]:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return *divmod(minutes, 60), seconds, milliseconds


def _srt_time(milliseconds: int) -> str:
    return "{:02d}:{:02d}:{:02d},{:03d}".format(*_clock(milliseconds))


def _vtt_time(milliseconds: int) -> str:
    hours, *rest = _clock(milliseconds)
    # WebVTT may leave hours of zero away, as OpenAI's writer does.
    return (f"{hours:02d}:" if hours else "") + "{:02d}:{:02d}.{:03d}".format(*rest)


def _txt(segments: Iterable[Segment], _info: TranscriptionInfo) -> Iterator[str]:
    for segment in segments:
        yield f"{one_line(segment.text)}\n"


def _srt(segments: Iterable[Segment], _info: TranscriptionInfo, layout: SubtitleLayout | None = None) -> Iterator[str]:
    for number, subtitle in enumerate(subtitles(segments, layout), start=1):
        times = f"{_srt_time(subtitle.start)} --> {_srt_time(subtitle.end)}"
        # SRT has no escapes: players look for this arrow.
        yield f"{number}\n{times}\n{_text(subtitle, lambda text: text.replace('-->', '->'))}\n\n"


def _vtt(segments: Iterable[Segment], _info: TranscriptionInfo, layout: SubtitleLayout | None = None) -> Iterator[str]:
    yield "WEBVTT\n\n"
    for subtitle in subtitles(segments, layout):
        times = f"{_vtt_time(subtitle.start)} --> {_vtt_time(subtitle.end)}"
        yield f"{times}\n{_text(subtitle, partial(html.escape, quote=False))}\n\n"


def _text(subtitle: Subtitle, escape: Callable[[str], str]) -> str:
    underlined = f"<u>{escape(subtitle.underlined)}</u>" if subtitle.underlined else ""
    return escape(subtitle.text) + underlined + escape(subtitle.rest)


def _lrc(segments: Iterable[Segment], _info: TranscriptionInfo) -> Iterator[str]:
    """A line has no end of its own: where the next one does not follow at once, one without text ends it."""
    shown = None
    for segment in segments:
        start, end = (time // 10 for time in milliseconds(segment))
        ended = f"[{_lrc_time(shown)}]\n" if shown is not None and shown < start else ""
        yield f"{ended}[{_lrc_time(start)}]{_lrc_text(segment)}\n"
        shown = end
    if shown is not None:
        yield f"[{_lrc_time(shown)}]\n"


def _lrc_time(centiseconds: int) -> str:
    seconds, centiseconds = divmod(centiseconds, 100)
    return "{:02d}:{:02d}.{:02d}".format(*divmod(seconds, 60), centiseconds)


def _lrc_text(segment: Segment) -> str:
    if not segment.words:
        return _without_times(one_line(segment.text))
    return "".join(map(_lrc_word, segment.words)).strip()


def _lrc_word(word: Word) -> str:
    """With the time when it begins, behind the space before it."""
    text = one_line(word.text)
    space = " " if word.text[:1].isspace() else ""
    return f"{space}<{_lrc_time(milliseconds(word)[0] // 10)}>{_without_times(text)}"


def _without_times(text: str) -> str:
    # LRC has no escapes: players look for [00:00.00] and <00:00.00>.
    return re.sub(r"[\[<](?=\d+:\d)", "(", text)


def _tsv(segments: Iterable[Segment], _info: TranscriptionInfo) -> Iterator[str]:
    yield "start\tend\ttext\n"
    for segment in segments:
        start, end = milliseconds(segment)
        yield f"{start}\t{end}\t{one_line(segment.text).replace(chr(9), ' ')}\n"


def _json(segments: Iterable[Segment], info: TranscriptionInfo) -> Iterator[str]:
    listed = list(segments)
    document = {
        "schema": SCHEMA,
        "text": " ".join(one_line(segment.text) for segment in listed),
        "segments": [{**_fields(segment), "words": [_fields(word) for word in segment.words]} for segment in listed],
        **asdict(info),
        "language_probabilities": _likely(info.language_probabilities),
    }
    yield json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _likely(probabilities: dict[str, float]) -> dict[str, float]:
    """Without the many languages that are as good as excluded."""
    return {code: probability for code, probability in probabilities.items() if probability >= _LIKELY}


def _fields(timed: Segment | Word) -> dict[str, Any]:
    start, end = milliseconds(timed)
    return {**asdict(timed), "start": start / 1000, "end": end / 1000}


FORMATS: dict[FormatName, Writer] = {
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
    "lrc": _lrc,
    "tsv": _tsv,
    "json": _json,
}

SUBTITLES = {"srt": _srt, "vtt": _vtt}
"""Of ``FORMATS``, those whose words can be laid out."""


def format_writer(name: str, layout: SubtitleLayout | None = None) -> Writer:
    """The writer of a format by its name, of subtitles with ``layout`` where one is given.

    Raises OptionError for a name that is none of ``FORMATS``, and for a layout of what is no subtitles. The writer
    raises it where words are to be laid out and a segment has none.
    """
    if layout is not None and name in SUBTITLES:
        return partial(SUBTITLES[name], layout=layout)
    for known, writer in FORMATS.items():
        if known == name:
            if layout is not None:
                raise OptionError(f"{name} has no subtitles to lay out: choose {' or '.join(SUBTITLES)}")
            return writer
    raise OptionError(f"no format is called {name!r}; there is {', '.join(FORMATS)}")
