"""The torch module itself, on whatever device PyTorch knows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ttscribe.decoding import LAST, Closable, Picks, Rules, greedy_on_host
from ttscribe.errors import OptionError
from ttscribe.whisper.model import DecoderState, WhisperModel

# Beyond this a larger batch brings nothing on a CPU, and a window of distil-large-v3 takes some 100 MB of activations.
MAX_BATCH = 32


class TorchEncoder(Closable):
    """The plain torch module where its weights are, in their dtype: what its runners have in common."""

    max_batch = MAX_BATCH
    max_decodings: int | None = None
    concurrent = True
    any_length = False

    def __init__(self, model: WhisperModel) -> None:
        self.model = model
        self.config = model.config
        self.precision = str(model.dtype).removeprefix("torch.")
        self._device = model.decoder.embed_tokens.weight.device

    @torch.inference_mode()
    def encode(self, mel: Tensor) -> Tensor:
        require_batch(len(mel), self.max_batch)
        return self.model.encode(mel.to(self._device, self.model.dtype))

    def encoder_states(self, encoded: Tensor) -> Tensor:
        return encoded.to("cpu", torch.float32)


class TorchRunner(TorchEncoder):
    """Runs the plain torch programs; threads may share it.

    Logits are given in float32 on the host, whatever the weights' dtype: rules compare sums of probabilities.
    """

    @torch.inference_mode()
    def start(self, encoder_states: Tensor) -> DecoderState:
        return self.model.new_state(self.model.cross_kv(encoder_states))

    @torch.inference_mode()
    def prefill(self, tokens: Tensor, state: DecoderState, rows: Sequence[int] = LAST) -> Tensor:
        wanted = torch.arange(tokens.shape[1])[[*rows]].to(self._device)
        return self.model.prefill(tokens.to(self._device), state, wanted).to("cpu", torch.float32)

    @torch.inference_mode()
    def decode_step(self, token: Tensor, position: Tensor, state: DecoderState) -> Tensor:
        logits = self.model.decode_step(token.to(self._device), position.to(self._device), state)
        return logits.to("cpu", torch.float32)

    def greedy(
        self, picked: Sequence[Picks], position: int, state: DecoderState, rules: Rules, *, limit: int, end: int
    ) -> None:
        greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)

    @torch.inference_mode()
    def reorder(self, state: DecoderState, rows: Sequence[int]) -> DecoderState:
        require_batch(len(rows), self.max_batch)
        return state.part(torch.tensor(rows, device=self._device))


def rows_together(count: int) -> int:
    """How many rows a step takes where so many are decoded: a power of two, so that there are few kinds of steps."""
    return 1 << (count - 1).bit_length()


def require_batch(given: int, most: int) -> None:
    """Raise OptionError for more windows or rows than a device takes at once."""
    if given > most:
        raise OptionError(f"this device decodes {most} window{'s' * (most > 1)} at a time, not {given}")
