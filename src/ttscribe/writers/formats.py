"""The five formats: each turns segments into pieces of text, one piece as each segment comes, that make up the file.

The files are those of OpenAI's whisper. Text is one line in all of them, and whatever would be read as the format's
own syntax is replaced: ``-->`` in subtitles, tabs in columns, markup in WebVTT.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from ttscribe.types import Segment, TranscriptionInfo

FormatName: TypeAlias = Literal["txt", "srt", "vtt", "tsv", "json"]
Writer: TypeAlias = "Callable[[Iterable[Segment], TranscriptionInfo], Iterator[str]]"


def _line(text: str) -> str:
    return " ".join(part.strip() for part in text.splitlines()).strip()


def _milliseconds(segment: Segment) -> tuple[int, int]:
    start = max(0, round(segment.start * 1000))
    return start, max(start, round(segment.end * 1000))


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
        yield f"{_line(segment.text)}\n"


def _srt(segments: Iterable[Segment], _info: TranscriptionInfo) -> Iterator[str]:
    for number, segment in enumerate(segments, start=1):
        start, end = map(_srt_time, _milliseconds(segment))
        # SRT has no escapes: players look for this arrow.
        yield f"{number}\n{start} --> {end}\n{_line(segment.text).replace('-->', '->')}\n\n"


def _vtt(segments: Iterable[Segment], _info: TranscriptionInfo) -> Iterator[str]:
    yield "WEBVTT\n\n"
    for segment in segments:
        start, end = map(_vtt_time, _milliseconds(segment))
        yield f"{start} --> {end}\n{html.escape(_line(segment.text), quote=False)}\n\n"


def _tsv(segments: Iterable[Segment], _info: TranscriptionInfo) -> Iterator[str]:
    yield "start\tend\ttext\n"
    for segment in segments:
        start, end = _milliseconds(segment)
        yield f"{start}\t{end}\t{_line(segment.text).replace(chr(9), ' ')}\n"


def _json(segments: Iterable[Segment], info: TranscriptionInfo) -> Iterator[str]:
    listed = list(segments)
    document = {
        "text": " ".join(_line(segment.text) for segment in listed),
        "segments": [_fields(segment) for segment in listed],
        **asdict(info),
    }
    yield json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _fields(segment: Segment) -> dict[str, Any]:
    start, end = _milliseconds(segment)
    return {**asdict(segment), "start": start / 1000, "end": end / 1000}


FORMATS: dict[FormatName, Writer] = {"txt": _txt, "srt": _srt, "vtt": _vtt, "tsv": _tsv, "json": _json}


def format_writer(name: str) -> Writer:
    """The writer of a format by its name; raises OptionError for a name that is none of ``FORMATS``."""
    for known, writer in FORMATS.items():
        if known == name:
            return writer
    raise OptionError(f"no format is called {name!r}; there is {', '.join(FORMATS)}")
