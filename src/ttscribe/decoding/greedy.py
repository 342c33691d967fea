"""Greedy decoding of one window."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ttscribe.decoding.rules import Rules
from ttscribe.errors import ModelError
from ttscribe.whisper.runner import Runner


@dataclass(frozen=True, slots=True)
class Decoded:
    """A window's tokens without <|endoftext|>, their mean log probability (end included), and <|nospeech|>'s."""

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the decoder is given, and the ids that the loop must know.

    ``start`` is the index of <|startoftranscript|> in ``tokens``: there the model says whether there is speech.
    """

    tokens: tuple[int, ...]
    start: int
    end_of_text: int
    no_speech: int


def decode_greedily(runner: Runner, state: Any, prompt: Prompt, rules: Rules) -> Decoded:
    """Take the likeliest allowed token until <|endoftext|> or the end of the cache; ``state`` is used up."""
    logits = runner.prefill(torch.tensor([prompt.tokens]), state)[0]
    no_speech_prob = logits[prompt.start].softmax(0)[prompt.no_speech].item()
    sampled: list[int] = []
    total = 0.0
    token, logprob = _pick(logits[-1], rules, sampled)
    limit = runner.config.max_target_positions - len(prompt.tokens)
    while token != prompt.end_of_text:
        total += logprob
        sampled.append(token)
        if len(sampled) == limit:
            return Decoded(tuple(sampled), total / limit, no_speech_prob)
        position = len(prompt.tokens) + len(sampled) - 1
        logits = runner.decode_step(torch.tensor([token]), torch.tensor([position]), state)
        token, logprob = _pick(logits[0], rules, sampled)
    return Decoded(tuple(sampled), (total + logprob) / (len(sampled) + 1), no_speech_prob)


def detect_language(
    runner: Runner, encoder_states: Any, start_token: int, languages: Sequence[int]
) -> tuple[int, float]:
    """The likeliest of the language tokens after <|startoftranscript|>, and its share of their probability."""
    logits = runner.prefill(torch.tensor([[start_token]]), runner.start(encoder_states))[0, -1]
    probability, index = logits[list(languages)].softmax(0).max(0)
    return languages[int(index)], probability.item()


def _pick(logits: torch.Tensor, rules: Rules, sampled: Sequence[int]) -> tuple[int, float]:
    allowed = rules.apply(logits, sampled)
    token = int(allowed.argmax())
    logprob = (allowed[token] - allowed.logsumexp(0)).item()
    if math.isnan(logprob):
        raise ModelError("the model's output is not a number (overflow, or damaged weights); try --dtype float32")
    return token, logprob
