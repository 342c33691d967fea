"""A window from audio to timed segments: tried again where the text is doubtful, and nothing where nobody speaks.

The checks are OpenAI's: compression ratio, log probability, probability of no speech. What is new is that none of them
drops text by itself. On noise Whisper repeats itself, and is as sure of it as of speech; of a sentence that is really
said again and again the ratio is as high. So a doubted text needs speech in the audio, and a repetition must be heard
again where it begins in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ttscribe.decoding.repetition import compression_ratio, loop_start, similarity
from ttscribe.decoding.rules import Rules
from ttscribe.decoding.runner import Runner
from ttscribe.decoding.search import (
    DecodedWindow,
    Prompt,
    Reading,
    Stop,
    follow_likeliest,
    no_speech_probability,
    read_prompt,
    read_prompts,
    sample,
    search_beams,
)
from ttscribe.decoding.segments import TimedTokens, split_window
from ttscribe.options import DecodingOptions
from ttscribe.whisper.tokenizer import Tokenizer

_BLOCK = 500
"""Mel frames, 5 s, of which the model is asked whether somebody speaks."""

_SLACK = 1.0
"""Seconds by which a segment's times may be off: speech so near counts as its own."""

_AGREEMENT = 0.5
"""``similarity`` of a repetition and what is heard from its middle on."""

_CONTEXT_TEMPERATURE = 0.5
"""Above it a text is no context for the next window, as in OpenAI's and faster-whisper's."""


class Window(Protocol):
    """Up to 30 s of a recording."""

    @property
    def frames(self) -> int:
        """How many mel frames, of 10 ms, are audio."""

    def start(self, first: int = 0, last: int | None = None) -> Any:
        """A decoder state for its frames from ``first`` on, to ``last`` where given, as a window of their own."""

    def take_whole(self) -> bool:
        """Have the silence in which it ends encoded as all else is from now on; whether less was made of it before."""

    def speech(self, start: float, end: float) -> float | None:
        """Seconds of speech that a detector heard between two times in seconds of the window; None: nobody listened."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a window: ``segments`` of text, and the mel frames by which the next one starts later.

    ``decoded`` is the text that was chosen, of which ``segments`` may lack parts. ``is_context`` says whether it may
    be given to the next window.
    """

    decoded: DecodedWindow
    segments: list[TimedTokens]
    advance: int
    is_context: bool = True


class WindowDecoder:
    """Decodes windows on ``runner`` under ``rules``, by ``options``."""

    def __init__(
        self, runner: Runner, tokenizer: Tokenizer, rules: Rules, options: DecodingOptions, *, timestamps: bool
    ) -> None:
        """``timestamps`` is whether the model is asked for times."""
        self._runner, self._tokenizer, self._rules, self._options = runner, tokenizer, rules, options
        self._timed = timestamps

    def decode(self, window: Window, prompt: Prompt, seed: int) -> Outcome:
        """Decode until a text passes the checks or no temperature is left; ``seed`` is of sampling.

        Raises ModelError where the model's output is not a number.
        """
        listener = self._listener(window, prompt)
        reading: Reading | None
        reading = read_prompt(self._runner, window.start(), prompt)
        (no_speech,) = reading.no_speech_probs
        if self._may_be_silence(no_speech):
            if window.take_whole():
                return self.decode(window, prompt, seed)
            if not listener.anything():
                return _silence(window, no_speech)
            # To listen is to encode, which on some devices takes the place of what was read.
            reading = None
        return self._judged(listener, seed, reading=reading)

    def decode_together(
        self, windows: Sequence[Window], state: Any, prompts: Sequence[Prompt], seeds: Sequence[int]
    ) -> list[Outcome]:
        """Decode windows, of which ``state`` has a row each, as ``decode`` does each alone.

        Their prompts may differ in their tokens, not in their number. The first text of all is searched for together,
        and only windows where it is doubted are gone on with alone: the options must have temperature 0 first, and the
        device as many rows as there are beams of all. Raises ModelError as ``decode`` does.
        """
        reading = read_prompts(self._runner, state, prompts)
        texts = self._searched(reading, prompts[0])
        return [
            self._followed(self._listener(window, prompt), seed, self._with_ratio(text))
            for window, prompt, seed, text in zip(windows, prompts, seeds, texts, strict=True)
        ]

    def _followed(self, listener: _Listener, seed: int, text: DecodedWindow) -> Outcome:
        if self._may_be_silence(text.no_speech_prob):
            if listener.window.take_whole():
                return self.decode(listener.window, listener.prompt, seed)
            if not listener.anything():
                return _silence(listener.window, text.no_speech_prob)
        return self._judged(listener, seed, first=text)

    def _judged(
        self, listener: _Listener, seed: int, *, reading: Reading | None = None, first: DecodedWindow | None = None
    ) -> Outcome:
        """What becomes of a window whose prompt was read, or whose ``first`` try is there already."""
        window, prompt = listener.window, listener.prompt
        generator = np.random.default_rng(seed)
        tries: list[DecodedWindow] = []
        for temperature in self._options.ladder:
            tries.append(first or self._try(window, prompt, temperature, generator, reading))
            reading = first = None
            if self._repeats(tries[-1]) and window.take_whole():
                return self.decode(window, prompt, seed)
            if self._is_silence(tries[-1], listener):
                return Outcome(tries[-1], [], window.frames)
            if self._passes(tries[-1], window, prompt):
                return self._outcome(tries[-1], listener, is_context=temperature <= _CONTEXT_TEMPERATURE)
        return self._outcome(self._likeliest(tries), listener, is_context=len(tries) == 1)

    def _listener(self, window: Window, prompt: Prompt) -> _Listener:
        return _Listener(self._runner, window, prompt, self._options.no_speech_threshold)

    def _try(
        self,
        window: Window,
        prompt: Prompt,
        temperature: float,
        generator: np.random.Generator,
        reading: Reading | None,
    ) -> DecodedWindow:
        if temperature > 0:
            decoded = self._sampled(window, prompt, temperature, generator)
        else:
            (decoded,) = self._searched(reading or read_prompt(self._runner, window.start(), prompt), prompt)
        return self._with_ratio(decoded)

    def _with_ratio(self, decoded: DecodedWindow) -> DecodedWindow:
        return replace(decoded, compression_ratio=compression_ratio(self._text(decoded.tokens)))

    def _searched(self, reading: Reading, prompt: Prompt) -> list[DecodedWindow]:
        options = self._options
        if options.beam_size == 1:
            return follow_likeliest(self._runner, reading, prompt, self._rules, self._stop)
        return search_beams(
            self._runner,
            reading,
            prompt,
            self._rules,
            beam_size=options.beam_size,
            patience=options.patience,
            length_penalty=options.length_penalty,
            stop=self._stop,
        )

    def _sampled(
        self, window: Window, prompt: Prompt, temperature: float, generator: np.random.Generator
    ) -> DecodedWindow:
        return sample(
            self._runner,
            window.start,
            prompt,
            self._rules,
            temperature,
            generator,
            count=self._options.best_of,
            length_penalty=self._options.length_penalty,
            stop=self._stop,
        )

    @property
    def _stop(self) -> Stop | None:
        return None if self._options.compression_ratio_threshold is None else self._is_loop

    def _is_loop(self, tokens: Sequence[int]) -> bool:
        return loop_start(tokens, self._tokenizer.timestamp_begin, timed=self._timed) is not None

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(tokens).strip()

    def _repeats(self, decoded: DecodedWindow) -> bool:
        threshold = self._options.compression_ratio_threshold
        return threshold is not None and (decoded.compression_ratio > threshold or self._is_loop(decoded.tokens))

    def _is_unsure(self, decoded: DecodedWindow) -> bool:
        threshold = self._options.log_prob_threshold
        return threshold is not None and decoded.avg_logprob < threshold

    def _may_be_silence(self, no_speech_prob: float) -> bool:
        threshold = self._options.no_speech_threshold
        return threshold is not None and no_speech_prob > threshold

    def _is_doubted(self, decoded: DecodedWindow) -> bool:
        return self._may_be_silence(decoded.no_speech_prob) or self._repeats(decoded)

    def _is_silence(self, decoded: DecodedWindow, listener: _Listener) -> bool:
        """Where OpenAI's two thresholds say so, unless a detector heard speech; else where a doubted text has none."""
        if self._may_be_silence(decoded.no_speech_prob) and self._is_unsure(decoded) and not listener.detected():
            return True
        return self._is_doubted(decoded) and not listener.anything()

    def _passes(self, decoded: DecodedWindow, window: Window, prompt: Prompt) -> bool:
        if self._is_unsure(decoded):
            return False
        return not self._repeats(decoded) or (
            not self._is_loop(decoded.tokens) and self._is_heard_again(decoded, window, prompt)
        )

    def _is_heard_again(self, decoded: DecodedWindow, window: Window, prompt: Prompt) -> bool:
        """Whether from the middle on the audio alone, without the text before, gives what the window's text has there.

        A sentence that is said again and again does; what the model only says after itself does not.
        """
        segments, _ = self._split(decoded.tokens, window)
        middle = window.frames / 200
        later = [segment for segment in segments[1:] if segment.start >= middle]
        if later:
            first, expected = (
                round(later[0].start * 100),
                self._text([token for each in later for token in each.tokens]),
            )
        else:
            text = self._text(decoded.tokens)
            first, expected = window.frames // 2, text[len(text) // 2 :]
        alone = replace(
            prompt, tokens=prompt.tokens[prompt.start : len(prompt.tokens) - len(prompt.given)], start=0, given=()
        )
        reading = read_prompt(self._runner, window.start(first, window.frames), alone)
        (again,) = follow_likeliest(self._runner, reading, alone, self._rules, self._stop)
        return similarity(expected, self._text(again.tokens)) >= _AGREEMENT

    def _likeliest(self, tries: Sequence[DecodedWindow]) -> DecodedWindow:
        """Of the tries that do not repeat themselves, or of all, the one with the best log probability."""
        calm = [each for each in tries if not self._repeats(each)]
        return max(calm or tries, key=lambda each: each.avg_logprob)

    def _outcome(self, decoded: DecodedWindow, listener: _Listener, *, is_context: bool) -> Outcome:
        tokens = decoded.tokens
        if self._stop is not None:
            # One unit of a loop is left: it was probably said.
            tokens = tokens[: loop_start(tokens, self._tokenizer.timestamp_begin, timed=self._timed)]
        segments, advance = self._split(tokens, listener.window)
        if self._options.no_speech_threshold is not None:
            doubted = self._is_doubted(decoded)
            segments = [each for each in segments if self._has_words(each) and listener.keeps(each, doubted=doubted)]
        return Outcome(decoded, segments, advance, is_context)

    def _has_words(self, segment: TimedTokens) -> bool:
        """Whether its text has a letter or a digit: of beeps Whisper writes full stops."""
        return any(map(str.isalnum, self._text(segment.tokens)))

    def _split(self, tokens: Sequence[int], window: Window) -> tuple[list[TimedTokens], int]:
        return split_window(tokens, self._tokenizer.timestamp_begin, window.frames)


def _silence(window: Window, no_speech: float) -> Outcome:
    """Of a window that is not decoded, since nobody speaks in it."""
    return Outcome(DecodedWindow((), 0.0, no_speech), [], window.frames)


@dataclass(slots=True)
class _Listener:
    """Where in a window somebody speaks: by a detector's word, else by the model's own of each 5 s alone.

    Of 5 s alone <|nospeech|> tells more than of a window, where speech of a few seconds or repetition confuses it.
    """

    runner: Runner
    window: Window
    prompt: Prompt
    threshold: float | None
    _blocks: dict[int, bool] = field(default_factory=dict)

    def detected(self) -> bool:
        """Whether there is a detector, and it heard speech."""
        return bool(self.window.speech(0, self._seconds))

    def anything(self) -> bool:
        """Whether somebody speaks in the window; true where nothing is to be asked about it."""
        return self._speaks(0, self._seconds)

    def keeps(self, segment: TimedTokens, *, doubted: bool) -> bool:
        """Whether a segment stays: speech was heard in it, or there is no reason to ask.

        Reasons are that the text is ``doubted``, or that a detector which hears speech elsewhere in the window, and so
        can hear it in this recording, hears none here.
        """
        return not (doubted or self.detected()) or self._speaks(segment.start - _SLACK, segment.end + _SLACK)

    @property
    def _seconds(self) -> float:
        return self.window.frames / 100

    def _speaks(self, start: float, end: float) -> bool:
        if self.threshold is None:
            return True
        start, end = max(0.0, start), min(end, self._seconds)
        heard = self.window.speech(start, end)
        if heard is not None:
            return heard > 0
        first, last = (self._block_of(time) for time in (start, end))
        return any(self._block(at) for at in range(first, last + 1))

    @property
    def _last(self) -> int:
        """The last block, which takes what is left of the window and is shorter than a block."""
        return max(0, self.window.frames // _BLOCK - 1)

    def _block_of(self, time: float) -> int:
        return min(round(time * 100) // _BLOCK, self._last)

    def _block(self, at: int) -> bool:
        if at not in self._blocks:
            last = (at + 1) * _BLOCK if at < self._last else self.window.frames
            # Of a window that is one block the very features that it is decoded of: what follows its sound in those of
            # a part is not silence, but nothing.
            state = self.window.start() if self._last == 0 else self.window.start(at * _BLOCK, last)
            assert self.threshold is not None
            self._blocks[at] = no_speech_probability(self.runner, state, self.prompt) <= self.threshold
        return self._blocks[at]
