"""A stream's buffer to words, as a recording of its own."""

from __future__ import annotations

from typing import Protocol

from ttscribe.audio import SAMPLE_RATE
from ttscribe.options import DecodingOptions
from ttscribe.types import Samples, SpeechSeconds, Transcription, Word

_SURE = 0.5
"""Probability of a language above which the stream is taken to be in it."""


class Transcribe(Protocol):
    """As much of ``Transcriber.transcribe`` as a buffer needs."""

    def __call__(
        self,
        audio: Samples,
        *,
        sample_rate: int,
        language: str | None,
        word_timestamps: bool,
        speech: SpeechSeconds,
        options: DecodingOptions,
    ) -> Transcription: ...


class BufferDecoder:
    """Decodes the buffers of one stream, whose language is detected until one is sure where none is given."""

    def __init__(self, transcribe: Transcribe, options: DecodingOptions, language: str | None) -> None:
        self._transcribe, self._options, self._language = transcribe, options, language

    def __call__(self, samples: Samples, before: str, speech: SpeechSeconds) -> list[Word]:
        """Words with times in mono 16 kHz ``samples``, of which ``before`` is the text before them."""
        told = " ".join(filter(None, [self._options.initial_prompt, before.strip()])) or None
        segments, info = self._transcribe(
            samples,
            sample_rate=SAMPLE_RATE,
            language=self._language,
            word_timestamps=True,
            speech=speech,
            options=self._options.changed(initial_prompt=told),
        )
        words = [word for segment in segments for word in segment.words]
        if info.language_probability > _SURE:
            self._language = info.language
        return words
