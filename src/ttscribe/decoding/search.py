"""A window's tokens: the likeliest at every step, samples at a temperature, or a search with beams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeAlias

import numpy as np

from ttscribe.decoding.probabilities import softmax
from ttscribe.decoding.rules import FORBIDDEN, Rules
from ttscribe.decoding.runner import Picks, Runner, pick_on_host
from ttscribe.types import FloatArray

STEPS = 32
"""Tokens between two looks at what was picked: a device that picks by itself goes on alone for so many."""

Stop: TypeAlias = Callable[[Sequence[int]], bool]
"""Says of a text's tokens so far that nothing good will come of it."""


@dataclass(frozen=True, slots=True)
class DecodedWindow:
    """A window's tokens without <|endoftext|>, their mean log probability (end included), and <|nospeech|>'s.

    ``temperature`` is that at which they were picked; ``compression_ratio`` is their text's, where it was looked at.
    """

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    temperature: float = 0.0
    compression_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the decoder is given, and the ids that the loop must know.

    ``start`` is the index of <|startoftranscript|> in ``tokens``: there the model says whether there is speech. The
    last of the tokens are ``given``, where the text's beginning is.
    """

    tokens: tuple[int, ...]
    start: int
    end_of_text: int
    no_speech: int
    given: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A decoder state of B windows that has read the prompt: logits [B, V] after it, and <|nospeech|>'s probabilities.

    What goes on from it uses the state up.
    """

    state: Any
    logits: FloatArray
    no_speech_probs: list[float]


def read_prompt(runner: Runner, state: Any, prompt: Prompt, rows: int = 1) -> Reading:
    """Have a state's ``rows`` read the prompt; the state is the reading's from then on."""
    return read_prompts(runner, state, [prompt] * rows)


def read_prompts(runner: Runner, state: Any, prompts: Sequence[Prompt]) -> Reading:
    """``read_prompt`` of rows that have a prompt each: their tokens may differ, and nothing else."""
    tokens = np.array([prompt.tokens for prompt in prompts])
    logits = runner.prefill(tokens, state, (prompts[0].start, -1))
    # Among all tokens, suppressed ones too, as in OpenAI's decoder.
    no_speech = softmax(logits[:, 0])[:, prompts[0].no_speech]
    return Reading(state, logits[:, 1], no_speech.tolist())


def decode_greedily(runner: Runner, state: Any, prompt: Prompt, rules: Rules, rows: int = 1) -> list[DecodedWindow]:
    """Take the likeliest allowed token until <|endoftext|> or the end of the cache, for each of a state's ``rows``.

    The state is used up. Raises ModelError where the model's output is not a number.
    """
    return follow_likeliest(runner, read_prompt(runner, state, prompt, rows), prompt, rules)


def follow_likeliest(
    runner: Runner, reading: Reading, prompt: Prompt, rules: Rules, stop: Stop | None = None
) -> list[DecodedWindow]:
    """``decode_greedily`` from a reading on; with ``stop`` also to where that is true of all rows that go on."""
    picked = [_first(prompt, *rules.pick(row, prompt.given)) for row in reading.logits]
    for limit in _limits(runner, prompt, stop):
        position = _position(prompt, picked)
        runner.greedy(picked, position, reading.state, rules, limit=limit, end=prompt.end_of_text)
        if _is_over(picked, limit, prompt, stop):
            break
    return [
        DecodedWindow(_text(row, prompt), sum(row.logprobs) / len(row.logprobs), probability)
        for row, probability in zip(picked, reading.no_speech_probs, strict=True)
    ]


def sample(
    runner: Runner,
    start: Callable[[], Any],
    prompt: Prompt,
    rules: Rules,
    temperature: float,
    generator: np.random.Generator,
    *,
    count: int,
    length_penalty: float | None = None,
    stop: Stop | None = None,
) -> DecodedWindow:
    """Draw ``count`` texts of one window at ``temperature`` and take the best by log probability and length.

    As many are drawn at a time as the device has rows for; each group begins with a decoder state from ``start``.
    Raises ModelError where the model's output is not a number.
    """
    candidates: list[_Candidate] = []
    no_speech = 0.0
    while len(candidates) < count:
        rows = min(count - len(candidates), most_rows(runner))
        reading = read_prompt(runner, start(), prompt)
        (no_speech,) = reading.no_speech_probs
        state = runner.reorder(reading.state, [0] * rows) if rows > 1 else reading.state

        def pick(row: FloatArray, sampled: Sequence[int]) -> tuple[int, float]:
            return rules.sample(row, sampled, temperature, generator)

        picked = [_first(prompt, *pick(reading.logits[0], prompt.given)) for _ in range(rows)]
        for limit in _limits(runner, prompt, stop):
            position = _position(prompt, picked)
            pick_on_host(runner.decode_step, picked, position, state, pick, limit=limit, end=prompt.end_of_text)
            if _is_over(picked, limit, prompt, stop):
                break
        candidates += [_Candidate(_text(row, prompt), sum(row.logprobs), len(row.logprobs)) for row in picked]
    return _best(candidates, length_penalty).decoded(no_speech, temperature)


def most_rows(runner: Runner) -> int:
    """How many texts of one window a device decodes at a time: one where it cannot make rows of a state's first."""
    return runner.max_batch if runner.max_decodings is None else 1


@dataclass(frozen=True, slots=True)
class _Beam:
    """A text that goes on: its tokens, those given included, and the sum of the others' log probabilities."""

    tokens: tuple[int, ...]
    score: float


def search_beams(
    runner: Runner,
    reading: Reading,
    prompt: Prompt,
    rules: Rules,
    *,
    beam_size: int,
    patience: float = 1.0,
    length_penalty: float | None = None,
    stop: Stop | None = None,
) -> list[DecodedWindow]:
    """The best text that a search with ``beam_size`` beams finds in each window, as OpenAI's decoder defines it.

    Each step ranks the ``beam_size + 1`` likeliest continuations of every beam by the sum of their log probabilities,
    of equals the one of the earlier beam and likelier token first. Down to the last that goes on into the next step,
    those that end are finished. The search is over with ``round(beam_size * patience)`` finished texts, or at the end
    of the cache; where fewer than ``beam_size`` have finished by then, the best unfinished ones join them. Of these
    the best by log probability and length is taken.

    Windows are searched side by side, each as if alone: a step has the beams of all whose search goes on, which may be
    as many rows as the device takes. Raises ModelError where the model's output is not a number.
    """
    searches = [_Search(prompt, beam_size, patience, [_Beam(prompt.given, 0.0)]) for _ in reading.no_speech_probs]
    state, logits = reading.state, reading.logits
    room, going = _room(runner, prompt), searches
    for step in range(room):
        sources, first, following = list[int](), 0, list[_Search]()
        for search in going:
            last = first + len(search.beams)
            rows = search.advance(logits[first:last], rules)
            looked_at = stop is not None and step % STEPS == STEPS - 1
            if not search.is_over(stop if looked_at else None):
                sources += [first + row for row in rows]
                following.append(search)
            first = last
        if not following or step == room - 1:
            break
        going = following
        state = runner.reorder(state, sources)
        tokens = np.array([beam.tokens[-1] for search in going for beam in search.beams])
        logits = runner.decode_step(tokens, np.full(len(tokens), len(prompt.tokens) + step), state)
    return [
        search.best(length_penalty).decoded(no_speech, 0.0)
        for search, no_speech in zip(searches, reading.no_speech_probs, strict=True)
    ]


@dataclass(slots=True)
class _Search:
    """One window's: its beams, which are rows of a step in their order, and the texts that have ended."""

    prompt: Prompt
    beam_size: int
    patience: float
    beams: list[_Beam]
    finished: list[_Candidate] = field(default_factory=list)

    def advance(self, logits: FloatArray, rules: Rules) -> list[int]:
        """Take the next beams, by the logits [beams, V] of the ones before: of which each goes on."""
        self.beams, sources, ended = _advance(self.beams, logits, rules, self.beam_size, self.prompt)
        self.finished += ended[: self._wanted - len(self.finished)]
        return sources

    def is_over(self, stop: Stop | None) -> bool:
        """Whether enough texts have ended, none goes on, or ``stop`` is true of the best that does."""
        if len(self.finished) >= self._wanted or not self.beams:
            return True
        return stop is not None and stop(self.beams[0].tokens[len(self.prompt.given) :])

    def best(self, length_penalty: float | None) -> _Candidate:
        given = len(self.prompt.given)
        unfinished = [_Candidate(beam.tokens, beam.score, len(beam.tokens) - given) for beam in self.beams]
        return _best([*self.finished, *unfinished[: max(0, self.beam_size - len(self.finished))]], length_penalty)

    @property
    def _wanted(self) -> int:
        return round(self.beam_size * self.patience)


def _advance(
    beams: Sequence[_Beam], logits: FloatArray, rules: Rules, beam_size: int, prompt: Prompt
) -> tuple[list[_Beam], list[int], list[_Candidate]]:
    """The next beams in order, the row that each comes from, and the texts that ended before the last of them."""
    continued = [
        (_Beam((*beam.tokens, token), beam.score + logprob), row)
        for row, beam in enumerate(beams)
        for logprob, token in _likeliest(rules.logprobs(logits[row], beam.tokens), beam_size + 1)
    ]
    following: list[tuple[_Beam, int]] = []
    ended: list[_Candidate] = []
    for beam, row in sorted(continued, key=lambda each: -each[0].score):
        if beam.tokens[-1] == prompt.end_of_text:
            text = beam.tokens[:-1]
            ended.append(_Candidate(text, beam.score, len(text) - len(prompt.given) + 1))
        else:
            following.append((beam, row))
        if len(following) == beam_size:
            break
    return [beam for beam, _ in following], [row for _, row in following], ended


def _likeliest(logprobs: FloatArray, count: int) -> Iterator[tuple[float, int]]:
    """The largest of ``logprobs`` [V] and their tokens, of equals the lower one first; not what is forbidden."""
    tokens = logprobs.argpartition(-min(count, len(logprobs)))[-count:].tolist()
    ranked = sorted(((logprobs[token].item(), token) for token in tokens), key=lambda each: (-each[0], each[1]))
    return takewhile(lambda each: each[0] != FORBIDDEN, iter(ranked))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A whole text without its end, and the sum of the log probabilities of ``count`` tokens (end included)."""

    tokens: tuple[int, ...]
    score: float
    count: int

    def rank(self, length_penalty: float | None) -> float:
        """OpenAI's: the mean over the text's tokens, or the penalty of Wu et al. (arXiv:1609.08144)."""
        length = max(1, len(self.tokens))
        return self.score / (length if length_penalty is None else ((5 + length) / 6) ** length_penalty)

    def decoded(self, no_speech: float, temperature: float) -> DecodedWindow:
        return DecodedWindow(self.tokens, self.score / self.count, no_speech, temperature)


def _best(candidates: Sequence[_Candidate], length_penalty: float | None) -> _Candidate:
    """The best, of equals the first."""
    return max(candidates, key=lambda candidate: candidate.rank(length_penalty))


def no_speech_probability(runner: Runner, state: Any, prompt: Prompt) -> float:
    """Of <|nospeech|> after <|startoftranscript|> alone; the state is used up."""
    logits = runner.prefill(np.array([[prompt.tokens[prompt.start]]]), state)
    return float(softmax(logits[0, 0])[prompt.no_speech])


def _first(prompt: Prompt, token: int, logprob: float) -> Picks:
    """A row that begins with what was given, whose probability is nobody's business."""
    return Picks([*prompt.given, token], [logprob])


def _room(runner: Runner, prompt: Prompt) -> int:
    """How many tokens fit after the prompt."""
    return runner.config.max_target_positions - len(prompt.tokens)


def _limits(runner: Runner, prompt: Prompt, stop: Stop | None) -> list[int]:
    """How many tokens a row, given ones included, may have before it is looked at, and in the end."""
    first, last = len(prompt.given), len(prompt.given) + _room(runner, prompt)
    return [*range(first + STEPS, last, STEPS), last] if stop is not None else [last]


def _position(prompt: Prompt, picked: Sequence[Picks]) -> int:
    """Of the last token of the rows that go on, which are the longest."""
    return len(prompt.tokens) - len(prompt.given) + max(len(row.tokens) for row in picked) - 1


def _is_over(picked: Sequence[Picks], limit: int, prompt: Prompt, stop: Stop | None) -> bool:
    going = [row for row in picked if row.goes_on(limit + 1, prompt.end_of_text)]
    return stop is None or all(stop(row.tokens[len(prompt.given) :]) for row in going)


def _text(row: Picks, prompt: Prompt) -> tuple[int, ...]:
    return tuple(token for token in row.tokens if token != prompt.end_of_text)
