"""The torch module itself, on the CPU."""

import torch
from torch import Tensor

from ttscribe.whisper.model import DecoderState, WhisperModel


class CpuRunner:
    """Runs the plain torch programs in the dtype of the weights."""

    def __init__(self, model: WhisperModel) -> None:
        self.model = model
        self.config = model.config

    @torch.inference_mode()
    def encode(self, mel: Tensor) -> Tensor:
        return self.model.encode(mel.to(self.model.dtype))

    @torch.inference_mode()
    def start(self, encoder_states: Tensor) -> DecoderState:
        return self.model.new_state(self.model.cross_kv(encoder_states))

    @torch.inference_mode()
    def prefill(self, tokens: Tensor, state: DecoderState) -> Tensor:
        return self.model.prefill(tokens, state).float()

    @torch.inference_mode()
    def decode_step(self, token: Tensor, position: Tensor, state: DecoderState) -> Tensor:
        return self.model.decode_step(token, position, state).float()
