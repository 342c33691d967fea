"""Greedy decoding of windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ttscribe.decoding.rules import Rules
from ttscribe.decoding.runner import Picks, Runner


@dataclass(frozen=True, slots=True)
class DecodedWindow:
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


def decode_greedily(runner: Runner, state: Any, prompt: Prompt, rules: Rules, rows: int = 1) -> list[DecodedWindow]:
    """Take the likeliest allowed token until <|endoftext|> or the end of the cache, for each of a state's ``rows``.

    The state is used up. Raises ModelError where the model's output is not a number.
    """
    logits = runner.prefill(torch.tensor([prompt.tokens] * rows), state)
    # Among all tokens, suppressed ones too, as in OpenAI's decoder.
    no_speech = logits[:, prompt.start].softmax(-1)[:, prompt.no_speech].tolist()
    picked = []
    for row in logits[:, -1]:
        token, logprob = rules.pick(row, [])
        picked.append(Picks([token], [logprob]))
    limit = runner.config.max_target_positions - len(prompt.tokens)
    runner.greedy(picked, len(prompt.tokens), state, rules, limit=limit, end=prompt.end_of_text)
    return [
        DecodedWindow(
            tuple(token for token in row.tokens if token != prompt.end_of_text),
            sum(row.logprobs) / len(row.logprobs),
            probability,
        )
        for row, probability in zip(picked, no_speech, strict=True)
    ]


def detect_language(
    runner: Runner, encoder_states: Any, start_token: int, languages: Sequence[int]
) -> tuple[int, float]:
    """The likeliest of the language tokens after <|startoftranscript|>, and its share of their probability."""
    logits = runner.prefill(torch.tensor([[start_token]]), runner.start(encoder_states))[0, -1]
    probability, index = logits[list(languages)].softmax(0).max(0)
    return languages[int(index)], probability.item()
