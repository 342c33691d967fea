"""Whisper's programs, captured from the plain torch model: what a device needs to transcribe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.capture.kept import kept_graph
from ttscribe.compiler.program import Role
from ttscribe.compiler.steps import GreedyStep, TimedStep
from ttscribe.compiler.vocabulary import Logits
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import DecoderState, KeyValue, WhisperModel

PROGRAMS = ("encode", "cross_kv", "prefill", "decode_step", "greedy_step", "timed_step")
# Tokens of a prompt, filled up: a tile has 32 rows, of which <|startoftranscript|>, language and task take three or
# four; earlier text takes up to half of the positions.
PROMPT_LENGTHS = (32, 256)
# Of a prompt the logits of two rows are asked for: after its last token, and after <|startoftranscript|>.
PROMPT_ROWS = 2
# Of the programs' inputs, by the arguments that they are part of: what does not come anew with every run.
_ROLES = {"state": Role.STATE, "state_cross_attention": Role.STATE, "encoder_states": Role.HANDED_OVER}


def prompt_length(tokens: int, config: WhisperConfig) -> int:
    """To how many tokens a prompt of ``tokens`` is filled up: few lengths, for each is a program of its own."""
    lengths = (min(length, config.max_target_positions) for length in PROMPT_LENGTHS)
    return next((length for length in lengths if length >= tokens), config.max_target_positions)


def filled_prompt(tokens: Tensor, rows: Sequence[int], config: WhisperConfig) -> tuple[Tensor, Tensor]:
    """Tokens [B, T] filled up to a length that there is a program for, and as many ``rows`` as it gives."""
    count = tokens.shape[1]
    wanted = torch.arange(count)[[*rows, *[rows[-1]] * (PROMPT_ROWS - len(rows))]]
    return functional.pad(tokens, (0, prompt_length(count, config) - count)), wanted


def capture_program(
    name: str, model: WhisperModel, *, length: int | None = None, batch: int = 1, suppress: Sequence[int] = ()
) -> CapturedGraph:
    """Capture one of PROGRAMS. ``suppress`` and ``batch`` are for steps, ``length`` of a prompt is for prefill.

    encode(mel [1, 2 S, bins]) takes time before bins, as the convolution on the device does. cross_kv(encoder_states,
    cross attention of the state) writes into the latter. prefill(tokens [1, length], rows [2], state) gives the logits
    of these rows, and decode_step(token [B], position [B], state) those after it, in the parts [..., V + 1] that
    ``Logits`` tells of. greedy_step(token [B], position [B], state) decodes, picks the likeliest token that is not
    suppressed, writes it into ``token``, adds one to ``position``, and returns the token and its probability.
    timed_step(token, position, earliest, opens, closes [B] each, state) does so under the grammar of timestamps, and
    keeps what that must know in the three (``TimedStep``).
    """
    made = _Method.of(name, model, length, batch, suppress)
    # Not what is suppressed: that is in buffers of the module.
    what = repr((name, model.config, length, batch, model.dtype, next(model.parameters()).device))
    return kept_graph(
        what, made.module, lambda: capture_method(name, made.module, made.call, made.arguments, roles=_ROLES)
    )


@dataclass(frozen=True)
class _Method:
    """What is captured: ``call(*arguments.values())``, with the weights of ``module``."""

    module: nn.Module
    call: Callable[..., Any]
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, model: WhisperModel, length: int | None, batch: int, suppress: Sequence[int]) -> _Method:
        config, state = model.config, _example_state(model, batch)
        # Tensors: numbers would be constants of the graph, and there would be a program for each position.
        token, position = (torch.zeros(batch, dtype=torch.int64) for _ in range(2))
        if name == "encode":
            mel = torch.zeros(1, config.mel_frames, config.num_mel_bins, dtype=model.dtype)
            return cls(model, lambda mel: model.encode(mel.transpose(1, 2)), {"mel": mel})
        if name == "cross_kv":
            states = torch.zeros(1, config.max_source_positions, config.d_model, dtype=model.dtype)
            arguments = {"encoder_states": states, "state_cross_attention": state.cross_attention}
            return cls(model, _CrossKeyValue(model).forward, arguments)
        if name == "prefill":
            tokens = torch.zeros(1, length or prompt_length(1, config), dtype=torch.int64)
            rows = torch.zeros(PROMPT_ROWS, dtype=torch.int64)
            logits = Logits(model)
            return cls(logits, logits.prefill, {"tokens": tokens, "state": state, "rows": rows})
        step = {"token": token, "position": position, "state": state}
        if name == "decode_step":
            logits = Logits(model)
            return cls(logits, logits.decode_step, step)
        if name == "greedy_step":
            greedy = GreedyStep(model, suppress)
            return cls(greedy, greedy.forward, step)
        timed, flag = TimedStep(model, suppress), torch.zeros(batch, dtype=torch.bool)
        grammar = {"earliest": torch.zeros(batch, dtype=torch.int64), "opens": flag, "closes": flag.clone()}
        return cls(timed, timed.forward, {"token": token, "position": position, **grammar, "state": state})


def _example_state(model: WhisperModel, batch: int) -> DecoderState:
    config = model.config
    width = config.d_model // config.decoder_attention_heads
    shape = (batch, config.decoder_attention_heads, config.max_source_positions, width)
    pairs = [
        KeyValue(torch.zeros(shape, dtype=model.dtype), torch.zeros(shape, dtype=model.dtype))
        for _ in range(config.decoder_layers)
    ]
    return model.new_state(pairs)


class _CrossKeyValue:
    """``cross_kv`` into tensors that stay where they are, so that a captured trace finds them."""

    def __init__(self, model: WhisperModel) -> None:
        self.model = model

    def forward(self, encoder_states: Tensor, cross: list[KeyValue]) -> None:
        for kept, made in zip(cross, self.model.cross_kv(encoder_states), strict=True):
            kept.key.copy_(made.key)
            kept.value.copy_(made.value)
