"""The torch module itself, on whatever device PyTorch knows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ttscribe.decoding import LAST, Closable, Picks, Rules, greedy_on_host
from ttscribe.devices.rows import MAX_BATCH, require_batch
from ttscribe.types import Features, FloatArray, IntArray, LogPower
from ttscribe.whisper.model import DecoderState, WhisperModel


class TorchEncoder(Closable):
    """The plain torch module where its weights are, in their dtype: what its runners have in common."""

    max_batch = MAX_BATCH
    max_decodings: int | None = None
    concurrent = True
    log_power: LogPower | None = None

    def __init__(self, model: WhisperModel) -> None:
        self.model = model
        self.config = model.config
        self.precision = str(model.dtype).removeprefix("torch.")
        self._device = model.decoder.embed_tokens.weight.device

    @torch.inference_mode()
    def encode(self, mel: Features) -> Tensor:
        require_batch(len(mel), self.max_batch)
        return self.model.encode(torch.from_numpy(mel).to(self._device, self.model.dtype))

    def encode_condensed(self, mel: Features) -> Tensor:
        return self.encode(mel)

    def condenses(self, _mel: Features, /) -> bool:
        return False

    def encoder_states(self, encoded: Tensor) -> FloatArray:
        return on_host(encoded)

    def _given(self, whole: IntArray) -> Tensor:
        """Tokens or positions where the weights are."""
        return torch.from_numpy(whole).to(self._device)


class TorchRunner(TorchEncoder):
    """Runs the plain torch programs, the reference that other devices are held to; threads may share it.

    Logits are given in float32 on the host, whatever the weights' dtype: rules compare sums of probabilities.
    """

    @torch.inference_mode()
    def start(self, encoder_states: Tensor) -> DecoderState:
        return self.model.new_state(self.model.cross_kv(encoder_states))

    @torch.inference_mode()
    def prefill(self, tokens: IntArray, state: DecoderState, rows: Sequence[int] = LAST) -> FloatArray:
        wanted = np.arange(tokens.shape[1])[[*rows]]
        return on_host(self.model.prefill(self._given(tokens), state, self._given(wanted)))

    @torch.inference_mode()
    def decode_step(self, token: IntArray, position: IntArray, state: DecoderState) -> FloatArray:
        return on_host(self.model.decode_step(self._given(token), self._given(position), state))

    def greedy(
        self, picked: Sequence[Picks], position: int, state: DecoderState, rules: Rules, *, limit: int, end: int
    ) -> None:
        greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)

    @torch.inference_mode()
    def reorder(self, state: DecoderState, rows: Sequence[int]) -> DecoderState:
        require_batch(len(rows), self.max_batch)
        return state.part(torch.tensor(rows, device=self._device))


def on_host(values: Tensor) -> FloatArray:
    """Numbers of any type and place as NumPy's float32."""
    array: FloatArray = values.to("cpu", torch.float32).numpy()
    return array
