"""What decoding asks of whatever runs the model."""

from typing import Any, Protocol

from torch import Tensor

from ttscribe.whisper.config import WhisperConfig


class Runner(Protocol):
    """A loaded model on a device. Encoder states and decoder state are the device's own, opaque to the caller.

    Everything that crosses is on the host: log-mel and logits in float32, tokens and positions in int64. Shapes as in
    ``ttscribe.whisper.model``: B batch, T tokens, V vocab_size.
    """

    config: WhisperConfig

    def encode(self, mel: Tensor) -> Any:
        """Log-mel window [B, num_mel_bins, 3000] to encoder states."""

    def start(self, encoder_states: Any) -> Any:
        """A decoder state for these encoder states, with an empty cache."""

    def prefill(self, tokens: Tensor, state: Any) -> Tensor:
        """Tokens [B, T] from position 0 on to logits [B, T, V]."""

    def decode_step(self, token: Tensor, position: Tensor, state: Any) -> Tensor:
        """One token [B] at its position [B] to logits [B, V]."""
