"""Silero VAD's network for 16 kHz, in plain PyTorch, with the weights of whichever package has them."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ttscribe.errors import CheckpointInvalid, ModelNotFound
from ttscribe.vad.onnx_weights import float_weights

FRAME = 512
"""Samples of which one probability is given: 32 ms."""

CONTEXT = 64
"""Samples before a frame that it is heard with."""

State: TypeAlias = tuple[Tensor, Tensor]
"""The LSTM's hidden and cell state, each [1, 128]."""

_BINS = 129  # of a transform of 256 samples

WEIGHTS = "silero_vad/data/silero_vad_16k_sequence.onnx"
"""In the package silero-vad; they are in the order of ``_NAMES``."""

_NAMES = (
    "stft_conv.weight",
    *(f"conv{number}.{kind}" for number in (1, 2, 3, 4) for kind in ("weight", "bias")),
    *("final_conv.weight", "final_conv.bias"),
    *("lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias"),
)


class SileroNetwork(nn.Module):
    """Magnitudes of a short-time transform, four convolutions, an LSTM over frames, and one output."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * _BINS, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(_BINS, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm = nn.LSTM(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, frames: Tensor, state: State) -> tuple[Tensor, State]:
        """Probabilities of speech [N] of consecutive frames [N, CONTEXT + FRAME] at ±1, and the state after them."""
        real, imaginary = self.stft_conv(F.pad(frames, (0, 64), "reflect")[:, None]).split(_BINS, dim=1)
        hidden = (real.square() + imaginary.square()).sqrt()
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            hidden = convolution(hidden).relu()
        hidden, state = self.lstm(hidden[:, :, 0], state)
        return self.final_conv(hidden.relu()[:, :, None]).sigmoid()[:, 0, 0], state

    @staticmethod
    def first_state() -> State:
        """The state before the first frame."""
        return torch.zeros(1, 128), torch.zeros(1, 128)


@functools.cache
def load_silero() -> SileroNetwork:
    """The network with its weights.

    Raises ModelNotFound where the package is missing, CheckpointInvalid where they are others.
    """
    path = locate(WEIGHTS)
    if path is None:
        raise ModelNotFound("the package silero-vad, which ttscribe needs, is not installed: pip install silero-vad")
    return read_silero(path)


def read_silero(path: Path) -> SileroNetwork:
    """The network with the weights of an ONNX file; CheckpointInvalid where they are others."""
    network = SileroNetwork()
    try:
        weights = dict(zip(_NAMES, float_weights(path), strict=True))
        for name in ("lstm.weight_ih_l0", "lstm.weight_hh_l0"):
            weights[name] = _gates(weights[name][0])
        weights["lstm.bias_ih_l0"], weights["lstm.bias_hh_l0"] = map(_gates, weights.pop("lstm.bias")[0].chunk(2))
        network.load_state_dict(weights)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointInvalid(
            f"{path}: not the weights of Silero VAD 6 ({error}); install its package again"
        ) from error
    return network.eval()


def _gates(onnx: Tensor) -> Tensor:
    """PyTorch's order of an LSTM's gates (input, forget, cell, output) from ONNX's (input, output, forget, cell)."""
    into, out, forget, cell = onnx.chunk(4)
    return torch.cat([into, forget, cell, out])


def locate(name: str) -> Path | None:
    """A file of an installed package, which is not imported: ``silero_vad`` would leave the process one thread."""
    package, _, rest = name.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / rest
    return path if path.is_file() else None
