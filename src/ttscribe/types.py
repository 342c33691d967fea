"""The values that cross module boundaries: what goes in, and what a transcription gives."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]
Samples: TypeAlias = FloatArray
Features: TypeAlias = FloatArray
AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | npt.NDArray[Any]
InputFormat: TypeAlias = Literal["s16le", "f32le"]
"""Raw PCM, little-endian, mono: 16-bit integers or 32-bit floats, by FFmpeg's names."""
Task: TypeAlias = Literal["transcribe", "translate"]
WindowLength: TypeAlias = Literal["auto", "full"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word with the punctuation that belongs to it.

    ``start`` and ``end`` are seconds from the start of the recording; ``text`` has the space before the word
    where there is one: the texts of a segment's words, joined and stripped, are the segment's. ``probability`` is the
    mean of its tokens', 0 to 1.
    """

    start: float
    end: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech.

    ``start`` and ``end`` are seconds from the start of the recording; ``text`` is stripped of surrounding spaces;
    ``tokens`` are the ids that gave it, timestamps included. The rest is the window's, of up to 30 s: ``avg_logprob``
    is the mean natural-log probability of its tokens, ``no_speech_prob`` the probability of ``<|nospeech|>`` at its
    start, ``temperature`` that at which its tokens were picked (0: no chance in it), ``compression_ratio`` the bytes of
    its text over those that zlib makes of it, which is high where a text repeats itself. ``words`` are empty where word
    times were not asked for; else ``start`` is that of the first word, and ``end`` that of the last. ``language`` is
    the code of the language that its window was decoded as.
    """

    id: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    temperature: float = 0.0
    compression_ratio: float = 0.0
    words: tuple[Word, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class LiveText:
    """What was heard in a stream: ``committed`` text, which never changes, or the rest of what is heard so far.

    ``start`` and ``end`` are seconds from the start of the stream; ``text`` is that of its ``words``, with the space
    before the first where there is one: committed texts, joined, are the transcript. Text that is not committed comes
    after all that is, and the next ``LiveText`` takes its place; it is empty where nothing takes it.
    """

    start: float
    end: float
    text: str
    committed: bool
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class TranscriptionInfo:
    """What is known before the first segment: ``duration`` is in seconds, ``language`` a Whisper code such as "en".

    ``language_probability`` is 1.0 where the language was given or the model knows only one; else
    ``language_probabilities`` has that of every language that the model knows, by its code, the likeliest first.
    """

    model: str
    device: str
    precision: str
    task: Task
    language: str
    language_probability: float
    duration: float
    language_probabilities: dict[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class LanguageDetection:
    """The likeliest ``language`` as a Whisper code such as "en", its ``probability``, and that of every other one.

    ``probabilities`` are by code, the likeliest first; in all they are 1.
    """

    language: str
    probability: float
    probabilities: dict[str, float] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transcription is, in seconds of audio."""

    done: float
    total: float


class LogPower(Protocol):
    """What transforms frames of sound."""

    def __call__(self, signal: Samples, first: int, last: int, num_mel_bins: int) -> Features:
        """Log10 of mel power [frames, num_mel_bins] of frames centred on each 160th sample, ``first`` to ``last``.

        The signal is mirrored at its two ends. Power below 1e-10 is taken for 1e-10.
        """


ProgressCallback: TypeAlias = Callable[[Progress], None]

SpeechSeconds: TypeAlias = Callable[[float, float], float]
"""Seconds of speech between two times of a recording, in seconds from its start."""


class Transcription(NamedTuple):
    """``segments`` is lazy: the work happens as it is iterated. Unpacks as ``segments, info``."""

    segments: Iterator[Segment]
    info: TranscriptionInfo
