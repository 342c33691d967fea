"""The projection to the vocabulary as programs compute it: without the mean, which costs them their precision.

Whisper's token embeddings have a few inputs whose weights are large and nearly the same for every token: of base, 0.13
in the mean, where most weights vary by 0.01. They add one number to all logits, which no probability tells of; but in
few bits a large weight is rounded by as much as small ones differ. docs/accuracy.md has what that cost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ttscribe.whisper.model import DecoderState, WhisperModel


def centred(model: WhisperModel) -> tuple[Tensor, Tensor]:
    """The weights of the projection [V, D] less the mean of each column, and that mean [1, D].

    Logits of the first alone are all less by the same number.
    """
    weight = model.decoder.embed_tokens.weight
    mean = weight.mean(0, keepdim=True)
    return weight - mean, mean


class Logits(nn.Module):
    """``prefill`` and ``decode_step`` for a host that wants logits, in parts of which ``whole_logits`` makes them."""

    def __init__(self, model: WhisperModel) -> None:
        super().__init__()
        self.model = model

    def prefill(self, tokens: Tensor, state: DecoderState, rows: Tensor) -> Tensor:
        """Tokens [B, T] to [B, R, V + 1], of ``rows`` [R]."""
        return self._parts(self.model.prompt_states(tokens, state, rows))

    def decode_step(self, token: Tensor, position: Tensor, state: DecoderState) -> Tensor:
        """One token [B] at each sequence's position [B] to [B, V + 1]."""
        return self._parts(self.model.step_states(token, position, state))

    def _parts(self, states: Tensor) -> Tensor:
        return functional.linear(states, torch.cat(centred(self.model)))


def whole_logits(parts: Tensor) -> Tensor:
    """[..., V + 1], logits without what they have in common, and that, to logits [..., V]."""
    return parts[..., :-1] + parts[..., -1:]
