"""Whisper's programs, captured from the plain torch model: what a device needs to transcribe."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.program import Role
from ttscribe.whisper.model import DecoderState, KeyValue, WhisperModel

PROGRAMS = ("encode", "cross_kv", "prefill", "decode_step", "greedy_step")
# <|startoftranscript|>, language, task, and <|notimestamps|> where there are to be none.
PROMPT_LENGTH = 4
# Finite in bfloat16, and so far below any logit that its probability is zero.
SUPPRESSED = -1e9
# Of the programs' inputs, by the arguments that they are part of: what does not come anew with every run.
_ROLES = {"state": Role.STATE, "state_cross_attention": Role.STATE, "encoder_states": Role.HANDED_OVER}


def capture_program(
    name: str, model: WhisperModel, *, prompt_length: int = PROMPT_LENGTH, suppress: Sequence[int] = ()
) -> CapturedGraph:
    """Capture one of PROGRAMS at batch 1. ``suppress`` is for greedy_step, ``prompt_length`` for prefill.

    encode(mel [1, 2 S, bins]) takes time before bins, as the convolution on the device does. cross_kv(encoder_states,
    cross attention of the state) writes into the latter. greedy_step(token [1], position [1], state) decodes, picks the
    likeliest token that is not suppressed, writes it into ``token``, adds one to ``position``, and returns the token
    and its probability.
    """
    config, state = model.config, _example_state(model)
    # Tensors: numbers would be constants of the graph, and there would be a program for each position.
    token, position = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    if name == "encode":
        mel = torch.zeros(1, config.mel_frames, config.num_mel_bins, dtype=model.dtype)
        return capture_method(name, model, lambda mel: model.encode(mel.transpose(1, 2)), {"mel": mel})
    if name == "cross_kv":
        states = torch.zeros(1, config.max_source_positions, config.d_model, dtype=model.dtype)
        arguments = {"encoder_states": states, "state_cross_attention": state.cross_attention}
        return capture_method(name, model, _CrossKeyValue(model).forward, arguments, roles=_ROLES)
    if name == "prefill":
        tokens = torch.zeros(1, prompt_length, dtype=torch.int64)
        return capture_method(name, model, model.prefill, {"tokens": tokens, "state": state}, roles=_ROLES)
    step = {"token": token, "position": position, "state": state}
    if name == "decode_step":
        return capture_method(name, model, model.decode_step, step, roles=_ROLES)
    greedy = GreedyStep(model, suppress)
    return capture_method(name, greedy, greedy.forward, step, roles=_ROLES)


def _example_state(model: WhisperModel) -> DecoderState:
    config = model.config
    width = config.d_model // config.decoder_attention_heads
    shape = (1, config.decoder_attention_heads, config.max_source_positions, width)
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


class GreedyStep(nn.Module):
    """One greedy step that needs nothing from the host: decode, suppress, pick, and make ready for the next."""

    suppress: Tensor

    def __init__(self, model: WhisperModel, suppress: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        # A sum, where the host writes minus infinity at these tokens: the compiler makes it the bias of the projection.
        bias = torch.zeros(model.config.vocab_size, dtype=model.dtype)
        bias[list(suppress)] = SUPPRESSED
        self.register_buffer("suppress", bias)

    def forward(self, token: Tensor, position: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """Token [1] at position [1] to the next token [1] and its probability [1] among those that are allowed.

        Token and position are made ready for the next step in place.
        """
        logits = self.model.decode_step(token, position, state) + self.suppress
        following = logits.argmax(-1)
        token.copy_(following)
        position.add_(1)
        return following, logits.softmax(-1).amax(-1)
