"""Windows of a recording: where each starts and stops, and how they are gone through."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ttscribe.alignment import SilenceSkip
from ttscribe.audio import HOP, SAMPLE_RATE, Recording
from ttscribe.decoding import Context, LanguageDetector, Outcome, Runner, WindowDecoder, likeliest
from ttscribe.errors import OptionError, StateGone
from ttscribe.gathering import Gathering, Way
from ttscribe.types import Features, FloatArray, SpeechSeconds, Word
from ttscribe.vad import Speech

if TYPE_CHECKING:
    from ttscribe.alignment.aligner import Aligner

FRAMES_PER_SECOND = SAMPLE_RATE // HOP


@dataclass(slots=True)
class RecordingWindow:
    """A window of a recording from frame ``seek`` on, encoded once for as long as the device keeps it.

    Nothing from frame ``stop`` on is heard, where that is given. ``detected`` is what a detector heard in the whole
    recording; ``speech_seconds`` is the word that guards take of it, or of another. Where it is ``whole``, silence is
    encoded as everything else.
    """

    runner: Runner
    recording: Recording
    seek: int = 0
    stop: int | None = None
    speech_seconds: SpeechSeconds | None = None
    detected: Speech | None = None
    whole: bool = False
    encoded: Any = None

    @property
    def last(self) -> int:
        """The frame at which this window, and those after it, must end."""
        return self.recording.frames if self.stop is None else self.stop

    @property
    def frames(self) -> int:
        return min(self.runner.config.mel_frames, self.last - self.seek)

    @property
    def encode(self) -> Callable[[Features], Any]:
        """What encodes features as those of this window."""
        return self.runner.encode if self.whole else self.runner.encode_condensed

    def features(self, first: int = 0, last: int | None = None) -> Features:
        """Log-mel [bins, 3000] of its frames from ``first`` on, to ``last`` where given, and zeros."""
        stop = self.stop if last is None else self.seek + last
        return self.recording.window(self.seek + first, stop)

    def start(self, first: int = 0, last: int | None = None) -> Any:
        if (first, last) != (0, None):
            return self.runner.start(self._encode(first, last))
        return self._from_encoded(self.runner.start)

    def encoder_states(self) -> FloatArray:
        """Its encoder states: float32 [S, D]."""
        states: FloatArray = self._from_encoded(self.runner.encoder_states)[0]
        return states

    def take_whole(self) -> bool:
        """Have the silence in which it ends encoded as all else is from now on; whether less was made of it before."""
        if self.whole or not self.runner.condenses(self.features()):
            return False
        self.whole, self.encoded = True, None
        return True

    def speech(self, start: float, end: float) -> float | None:
        offset = self.seek / FRAMES_PER_SECOND
        return None if self.speech_seconds is None else self.speech_seconds(offset + start, offset + end)

    def _from_encoded(self, use: Callable[[Any], Any]) -> Any:
        if self.encoded is not None:
            try:
                return use(self.encoded)
            except StateGone:
                pass  # another window, or a part of this one, took their place: they are made again
        self.encoded = self._encode()
        return use(self.encoded)

    def _encode(self, first: int = 0, last: int | None = None) -> Any:
        return self.encode(self.features(first, last)[None])


def windows_after_pauses(runner: Runner, recording: Recording, speech: Speech) -> list[RecordingWindow]:
    """Where decoding begins anew so that times after a long pause are right: together they hold every frame."""
    starts = [math.floor(span.start * FRAMES_PER_SECOND) for span in speech.stretches()[1:]]
    ends = [*starts, None]
    return [
        RecordingWindow(runner, recording, start, stop, detected=speech)
        for start, stop in zip([0, *starts], ends, strict=True)
    ]


def spoken_windows(runner: Runner, recording: Recording, speech: Speech, *, cut: bool) -> list[RecordingWindow]:
    """Where decoding begins: after each long pause, with ``cut`` also after shorter ones, so that no window is longer.

    Every frame with speech lies between a window's ``seek`` and its ``stop``.
    """
    seconds = runner.config.mel_frames / FRAMES_PER_SECOND
    return [
        RecordingWindow(
            runner,
            recording,
            math.floor(span.start * FRAMES_PER_SECOND),
            min(recording.frames, math.ceil(span.end * FRAMES_PER_SECOND)),
            speech.seconds,
            speech,
        )
        # A frame less, for both ends are rounded outwards.
        for span in (speech.windows(seconds - 1 / FRAMES_PER_SECOND) if cut else speech.stretches())
        if span.start * FRAMES_PER_SECOND < recording.frames
    ]


def clips_of(times: Sequence[float]) -> list[tuple[float, float]]:
    """Starts and ends in seconds, one after the other, as pairs; where the last has no end it has no bound.

    Raises OptionError where they do not rise, or are no seconds.
    """
    numbers = all(isinstance(time, int | float) and 0 <= time < math.inf for time in times)
    clips = list(zip_longest(times[::2], times[1::2], fillvalue=math.inf))
    rise = numbers and [*times] == sorted(times) and all(start < end for start, end in clips)
    if not clips or not rise:
        raise OptionError(f"clip_timestamps are seconds that rise: start, end, start, end ..., not {[*times]!r}")
    return clips


def clipped(windows: Sequence[RecordingWindow], clips: Sequence[tuple[float, float]]) -> list[RecordingWindow]:
    """Of windows in order what lies within clips of the recording, each of which begins one of its own."""
    found = []
    for start, end in clips:
        first = round(start * FRAMES_PER_SECOND)
        for window in windows:
            stop = window.stop if end == math.inf else min(window.last, round(end * FRAMES_PER_SECOND))
            part = replace(window, seek=max(first, window.seek), stop=stop)
            if part.seek < part.last:
                found.append(part)
    return found


def grouped(windows: Sequence[RecordingWindow], size: int, alone: int) -> list[Sequence[RecordingWindow]]:
    """Windows in order, ``size`` to be decoded together, after the first ``alone`` ones, which are by themselves."""
    first = [windows[at : at + 1] for at in range(min(alone, len(windows)))]
    return first + [windows[at : at + size] for at in range(alone, len(windows), size)]


def consecutive(windows: Sequence[RecordingWindow]) -> Iterator[RecordingWindow]:
    """Windows of 30 s, one after the other from where each of ``windows``, which are the first of them, begins."""
    for window in windows:
        yield window
        length = window.runner.config.mel_frames
        for seek in range(window.seek + length, window.last, length):
            yield replace(window, seek=seek, encoded=None)


class Decoded(NamedTuple):
    """A window, its language, what became of it, and its segments' words, where words were asked for."""

    window: RecordingWindow
    language: str
    outcome: Outcome
    words: Sequence[tuple[Word, ...]]


@dataclass(frozen=True, slots=True)
class Walk:
    """Goes through the windows of one recording, each decoded in that ``way`` by whoever has the device.

    ``language`` is that of all windows, but where there is a ``detector`` that finds each one's own. ``skip`` looks at
    the words that an ``aligner`` finds.
    """

    decoder: WindowDecoder
    context: Context
    seed: int
    gathering: Gathering
    way: Way
    language: str
    detector: LanguageDetector | None = None
    aligner: Aligner | None = None
    skip: SilenceSkip | None = None

    def decoded(self, groups: Sequence[Sequence[RecordingWindow]]) -> Iterator[Decoded]:
        """All windows in order: each group's are decoded together, those that follow on them one by one."""
        for group in groups:
            together = self._together(group) if len(group) > 1 else [self._alone(window) for window in group]
            for window in group:
                window.encoded = None  # hours of windows would keep their encoder states
            for first in together:
                yield from self._on_from(first)

    def _together(self, group: Sequence[RecordingWindow]) -> list[Decoded]:
        seeds = [self.seed + window.seek for window in group]
        runner, states, languages = group[0].runner, None, [self.language] * len(group)
        with self.gathering.turn():
            mel = np.stack([window.features() for window in group])
            encoded = group[0].encode(mel)
            if self.aligner is not None:
                # Now: a window that is tried again alone may take their place on the device.
                states = runner.encoder_states(encoded)
            if self.detector is not None:
                languages = [likeliest(each) for each in self.detector.shares(runner.start(encoded), len(group))]
                # What was started has perhaps taken the place of what was encoded.
                encoded = encoded if runner.max_decodings is None else group[0].encode(mel)
            prompts = [self.context.prompt(language) for language in languages]
            outcomes = self.decoder.decode_together(group, runner.start(encoded), prompts, seeds)
        of_each = states if states is not None else [None] * len(group)
        return [self._aligned(*each) for each in zip(group, languages, outcomes, of_each, strict=True)]

    def _alone(self, window: RecordingWindow) -> Decoded:
        """One window of this recording, perhaps with windows of others that wait for the device."""
        language, seed = self._language(window), self.seed + window.seek
        outcome, states = self.gathering.decode(self.way, self.decoder, window, self.context.prompt(language), seed)
        return self._aligned(window, language, outcome, states)

    def _language(self, window: RecordingWindow) -> str:
        if self.detector is None:
            return self.language
        with self.gathering.turn():
            return likeliest(self.detector.shares(window.start())[0])

    def _aligned(self, window: RecordingWindow, language: str, outcome: Outcome, states: FloatArray | None) -> Decoded:
        if self.aligner is None or states is None:
            return Decoded(window, language, outcome, [()] * len(outcome.segments))
        heard = window.features()[:, : min(window.frames, outcome.advance)]
        return Decoded(window, language, outcome, self.aligner.words(outcome.segments, states, heard, language))

    def _on_from(self, decoded: Decoded) -> Iterator[Decoded]:
        """A window, and those that follow from where its segments end until its stretch does."""
        while True:
            decoded = self._skipped(decoded)
            window, _, outcome, _ = decoded
            self.context.add(outcome)
            yield decoded
            following = replace(window, seek=window.seek + outcome.advance, encoded=None)
            if following.seek >= following.last:
                return
            decoded = self._alone(following)

    def _skipped(self, decoded: Decoded) -> Decoded:
        """A window of which less is kept, and after which decoding goes on earlier, where that is called for."""
        window, _, outcome, words = decoded
        resumed = None
        if self.skip is not None:
            bounds = (window.seek, window.seek + window.frames, window.last)
            resumed = self.skip.resume(words, *(frame / FRAMES_PER_SECOND for frame in bounds))
        if resumed is None:
            return decoded._replace(outcome=_before_unheard(window, outcome))
        kept, time = resumed
        # Rounded down to no frame at all, the window would be decoded again and again.
        advance = max(1, round(time * FRAMES_PER_SECOND) - window.seek)
        return decoded._replace(
            outcome=replace(outcome, segments=outcome.segments[:kept], advance=advance), words=words[:kept]
        )


def _before_unheard(window: RecordingWindow, outcome: Outcome) -> Outcome:
    """``outcome``, to be gone on from where the detector heard speech begin that its segments do not tell of.

    Whisper may end a text after its first sentence although more is said in the window. Where it has no text at all the
    guards have looked for speech already.
    """
    if window.detected is None or not outcome.segments:
        return outcome
    span = window.detected.begun_after(window.seek / FRAMES_PER_SECOND + outcome.segments[-1].end)
    advance = outcome.advance if span is None else math.floor(span.start * FRAMES_PER_SECOND) - window.seek
    return replace(outcome, advance=advance) if 0 < advance < outcome.advance else outcome
