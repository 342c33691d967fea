"""Transcripts as OpenAI's API gives them, whole or event by event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from fastapi.responses import JSONResponse, PlainTextResponse, Response

from ttscribe.types import Segment, TranscriptionInfo, Word
from ttscribe.whisper.languages import LANGUAGES
from ttscribe.writers import format_writer

ResponseFormat: TypeAlias = Literal["json", "text", "srt", "verbose_json", "vtt"]
Granularity: TypeAlias = Literal["segment", "word"]
_MEDIA = {"text": "text/plain", "srt": "application/x-subrip", "vtt": "text/vtt"}


def answer(
    name: ResponseFormat, segments: Sequence[Segment], info: TranscriptionInfo, granularities: Sequence[Granularity]
) -> Response:
    """The response's body in one of the formats."""
    if name == "json":
        return JSONResponse({"text": text(segments), "usage": _usage(info)})
    if name == "verbose_json":
        return JSONResponse(_verbose(segments, info, granularities))
    body = text(segments) + "\n" if name == "text" else "".join(format_writer(name)(segments, info))
    return PlainTextResponse(body, media_type=_MEDIA[name])


def text(segments: Sequence[Segment]) -> str:
    return " ".join(segment.text for segment in segments)


def delta(segment: Segment, info: TranscriptionInfo, *, first: bool) -> str:
    """A segment's text as an event; joined, all deltas are the text. OpenAI's have no ``segment`` nor ``duration``."""
    return event(
        {
            "type": "transcript.text.delta",
            "delta": segment.text if first else f" {segment.text}",
            "duration": info.duration,
            "segment": {"start": segment.start, "end": segment.end, "words": [_word(word) for word in segment.words]},
        }
    )


def done(segments: Sequence[Segment], info: TranscriptionInfo) -> str:
    """The last event. OpenAI's has no ``language`` and no ``duration``."""
    known = {"language": LANGUAGES[info.language], "duration": info.duration}
    return event({"type": "transcript.text.done", "text": text(segments), "usage": _usage(info), **known})


def event(data: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _usage(info: TranscriptionInfo) -> dict[str, Any]:
    # OpenAI counts whole seconds that were begun.
    return {"type": "duration", "seconds": -int(-info.duration // 1)}


def _verbose(
    segments: Sequence[Segment], info: TranscriptionInfo, granularities: Sequence[Granularity]
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "task": info.task,
        "language": LANGUAGES[info.language],
        "duration": info.duration,
        "text": text(segments),
        "usage": _usage(info),
    }
    if "segment" in granularities:
        document["segments"] = [_segment(segment) for segment in segments]
    if "word" in granularities:
        document["words"] = [_word(word) for segment in segments for word in segment.words]
    return document


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "id": segment.id,
        # Mel frames of 10 ms, which OpenAI gives of the window; here of the segment, whose window is not told.
        "seek": round(100 * segment.start),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.text.strip(), "start": word.start, "end": word.end}
