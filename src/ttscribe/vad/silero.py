"""Silero VAD's network for 16 kHz, in plain NumPy, with the weights of whichever package has them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ttscribe.errors import CheckpointInvalid, ModelNotFound
from ttscribe.types import FloatArray
from ttscribe.vad.onnx_weights import float_weights

FRAME = 512
"""Samples of which one probability is given: 32 ms."""

CONTEXT = 64
"""Samples before a frame that it is heard with."""

State: TypeAlias = tuple[FloatArray, FloatArray]
"""The LSTM's hidden and cell state, each [128]."""

_BINS, _WINDOW, _HOP = 129, 256, 128  # of the short-time transform: samples of a window, and to the next
_WIDTH = 128  # of the LSTM

WEIGHTS = "silero_vad/data/silero_vad_16k_sequence.onnx"
"""In the package silero-vad; they are in the order of ``_SHAPES``."""

_SHAPES = {
    "stft": (2 * _BINS, 1, _WINDOW),
    "conv1.weight": (128, _BINS, 3),
    "conv1.bias": (128,),
    "conv2.weight": (64, 128, 3),
    "conv2.bias": (64,),
    "conv3.weight": (64, 64, 3),
    "conv3.bias": (64,),
    "conv4.weight": (_WIDTH, 64, 3),
    "conv4.bias": (_WIDTH,),
    "output.weight": (1, _WIDTH, 1),
    "output.bias": (1,),
    "lstm.input": (1, 4 * _WIDTH, _WIDTH),
    "lstm.hidden": (1, 4 * _WIDTH, _WIDTH),
    "lstm.bias": (1, 8 * _WIDTH),
}


class SileroNetwork:
    """Magnitudes of a short-time transform, four convolutions, an LSTM over frames, and one output."""

    def __init__(self, weights: Mapping[str, FloatArray]) -> None:
        """``weights`` are of ``_SHAPES``."""
        self._transform = weights["stft"][:, 0].T.copy()
        self._convolutions = [
            _Convolution(weights[f"conv{number}.weight"], weights[f"conv{number}.bias"], stride)
            for number, stride in ((1, 1), (2, 2), (3, 2), (4, 1))
        ]
        bias = weights["lstm.bias"][0, : 4 * _WIDTH] + weights["lstm.bias"][0, 4 * _WIDTH :]
        self._input, recurrent, self._bias = (
            _halved(each) for each in (weights["lstm.input"][0].T, weights["lstm.hidden"][0].T, bias)
        )
        # Of 8192 weights each, to which OpenBLAS gives one thread: at each frame others would be waited for in vain.
        self._recurrent = recurrent.reshape(_WIDTH, 8, -1).transpose(1, 0, 2).copy()
        self._output, self._output_bias = weights["output.weight"][0, :, 0], weights["output.bias"]

    def __call__(self, frames: FloatArray, state: State) -> tuple[FloatArray, State]:
        """Probabilities of speech [N] of consecutive frames [N, CONTEXT + FRAME] at ±1, and the state after them."""
        mirrored = np.pad(frames, ((0, 0), (0, CONTEXT)), mode="reflect")
        spectra = _products(mirrored, _WINDOW, _HOP, self._transform)
        np.square(spectra, out=spectra)
        hidden = np.sqrt(spectra[..., :_BINS] + spectra[..., _BINS:])
        for convolution in self._convolutions:
            hidden = convolution(hidden)
        spoken, state = self._remembered(hidden[:, 0], state)
        return _logistic(np.maximum(spoken, 0) @ self._output + self._output_bias), state

    def _remembered(self, inputs: FloatArray, state: State) -> tuple[FloatArray, State]:
        """The LSTM's hidden states [N, 128] of inputs [N, 128], and its state after them."""
        hidden, cell = state
        states = np.empty_like(inputs)
        # The gates and, beside the new values, the cell: input and forget gates multiply both at once.
        values = np.empty((5, _WIDTH), np.float32)
        values[4] = cell
        gates, opened, cell, out = values[:4].reshape(-1), values[:3], values[4], values[0]
        parts = gates.reshape(len(self._recurrent), -1)
        kept, products, half = values[3:], np.empty((2, _WIDTH), np.float32), np.full_like(opened, 0.5)
        # Into arrays that are there, and without Python's numbers: to make an array takes longer than to fill it.
        for given, state_of in zip(inputs @ self._input + self._bias, states, strict=True):
            np.matmul(hidden, self._recurrent, out=parts)
            np.add(gates, given, out=gates)
            np.tanh(gates, out=gates)
            # The logistic function of 2 x is (tanh(x) + 1) / 2.
            np.multiply(opened, half, out=opened)
            np.add(opened, half, out=opened)
            np.multiply(opened[1:], kept, out=products)
            np.add(products[0], products[1], out=cell)
            np.tanh(cell, out=state_of)
            np.multiply(out, state_of, out=state_of)
            hidden = state_of
        return states, (hidden.copy(), cell.copy())

    @staticmethod
    def first_state() -> State:
        """The state before the first frame."""
        return np.zeros(_WIDTH, np.float32), np.zeros(_WIDTH, np.float32)


class _Convolution:
    """Of three taps, with zeros beyond both ends, and what is negative made zero."""

    def __init__(self, weight: FloatArray, bias: FloatArray, stride: int) -> None:
        # [outputs, inputs, taps] to [taps * inputs, outputs]
        self._weight = weight.transpose(2, 1, 0).reshape(-1, len(weight))
        self._bias, self._stride = bias, stride

    def __call__(self, hidden: FloatArray) -> FloatArray:
        """Of [N, positions, inputs] the outputs [N, positions / stride, outputs]."""
        count, _, inputs = hidden.shape
        padded = np.pad(hidden, ((0, 0), (1, 1), (0, 0))).reshape(count, -1)
        result = _products(padded, 3 * inputs, self._stride * inputs, self._weight)
        result += self._bias
        return np.maximum(result, 0, out=result)


def _products(rows: FloatArray, size: int, step: int, weight: FloatArray) -> FloatArray:
    """Of each row [N, any] every ``step``th stretch of ``size`` numbers times a weight: [N, stretches, outputs]."""
    stretches = sliding_window_view(rows, size, axis=1)[:, ::step]
    # As one matrix: of several NumPy would make as many products.
    return (stretches.reshape(-1, size) @ weight).reshape(*stretches.shape[:2], -1)


def _halved(gates: FloatArray) -> FloatArray:
    """Of the last dimension output, input and forget gates by half, then the cell's: ONNX has the input's first."""
    into, out, forget, cell = np.split(gates, 4, axis=-1)
    return np.concatenate([out / 2, into / 2, forget / 2, cell], axis=-1)


def _logistic(x: FloatArray) -> FloatArray:
    # 1 / (1 + exp(-x)) overflows where x is very negative.
    half: FloatArray = np.tanh(x / 2) / 2
    return half + np.float32(0.5)


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
    try:
        return SileroNetwork(_named(float_weights(path)))
    except (OSError, ValueError) as error:
        raise CheckpointInvalid(
            f"{path}: not the weights of Silero VAD 6 ({error}); install its package again"
        ) from error


def _named(weights: Sequence[FloatArray]) -> Mapping[str, FloatArray]:
    for (name, shape), weight in zip(_SHAPES.items(), weights, strict=True):
        if weight.shape != shape:
            raise ValueError(f"{name} is {weight.shape}, not {shape}")
    return dict(zip(_SHAPES, weights, strict=True))


def locate(name: str) -> Path | None:
    """A file of an installed package, which is not imported: ``silero_vad`` would leave the process one thread."""
    package, _, rest = name.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / rest
    return path if path.is_file() else None
