"""Whisper with products in 8 bits, by the kernels in C++."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ttscribe.decoding import LAST, Closable, Picks, Rules, pick_on_host
from ttscribe.devices.cpu import kernels
from ttscribe.devices.cpu.packed import Packed, structure
from ttscribe.devices.cpu.picking import Picker
from ttscribe.devices.joining import JoinedSteps
from ttscribe.devices.torch_runner import MAX_BATCH, require_batch
from ttscribe.whisper.config import WhisperConfig


@dataclass(frozen=True, slots=True)
class _Row:
    """The state of one row: ``cache`` [layers, 2, heads, slots, 64], of float32; ``memory`` of ``length`` positions."""

    cache: Tensor
    memory: Tensor
    length: int


class Int8Runner(Closable):
    """Runs packed weights; threads may share it, and their steps are then taken together."""

    max_batch = MAX_BATCH
    max_decodings: int | None = None
    concurrent = True
    any_length = True
    precision = "int8"

    def __init__(self, packed: Packed, config: WhisperConfig) -> None:
        self.config = config
        self._packed = packed
        self._model = structure(packed, config)
        self._pointer = ctypes.pointer(self._model)
        self._steps = JoinedSteps(self._step, self.max_batch)

    @torch.inference_mode()
    def encode(self, mel: Tensor) -> Tensor:
        require_batch(len(mel), self.max_batch)
        encoded = torch.stack([self._convolved(window) for window in mel])
        for states in encoded:
            kernels.library().ttscribe_encode(self._pointer, states.data_ptr(), len(states), torch.get_num_threads())
        return encoded

    def _convolved(self, mel: Tensor) -> Tensor:
        """Of features [bins, frames] both convolutions, and the positions: [frames / 2, width]."""
        first, second, width = self._model.conv1, self._model.conv2, self.config.d_model
        # Before and after them nothing is heard; a position's channels lie beside each other.
        heard = functional.pad(mel.T, (0, 0, 1, 1)).contiguous()
        frames, bins = mel.shape[1], mel.shape[0]
        between = torch.zeros(frames + 2, width)
        self._convolve(first, heard, bins, between[1:-1])
        states = torch.empty((frames + 1) // 2, width)
        self._convolve(second, between, 2 * width, states)
        return states.add_(self._packed["audio_positions"][: len(states)])

    def _convolve(self, convolution: kernels.Convolution, heard: Tensor, stride: int, result: Tensor) -> None:
        kernels.library().ttscribe_convolve(
            convolution, heard.data_ptr(), stride, len(result), result.data_ptr(), torch.get_num_threads()
        )

    def encoder_states(self, encoded: Tensor) -> Tensor:
        return encoded

    @torch.inference_mode()
    def start(self, encoder_states: Tensor) -> list[_Row]:
        return [self._started(states.contiguous()) for states in encoder_states]

    def _started(self, states: Tensor) -> _Row:
        config, length = self.config, len(states)
        size = kernels.library().ttscribe_memory_size(self._pointer, length)
        memory = torch.empty(size, dtype=torch.bfloat16)
        kernels.library().ttscribe_remember(
            self._pointer, states.data_ptr(), length, memory.data_ptr(), torch.get_num_threads()
        )
        heads, slots = config.decoder_attention_heads, self._model.slots
        return _Row(torch.empty(config.decoder_layers, 2, heads, slots, kernels.HEAD), memory, length)

    def prefill(self, tokens: Tensor, state: list[_Row], rows: Sequence[int] = LAST) -> Tensor:
        wanted = [range(tokens.shape[1])[row] for row in rows]
        return self._decode(tokens, torch.arange(tokens.shape[1]).expand_as(tokens), state, wanted)

    def decode_step(self, token: Tensor, position: Tensor, state: list[_Row]) -> Tensor:
        return self._steps(token, position, state)

    def _step(self, token: Tensor, position: Tensor, state: list[_Row]) -> Tensor:
        return self._decode(token[:, None], position[:, None], state, (0,))[:, 0]

    def _decode(self, tokens: Tensor, positions: Tensor, state: list[_Row], wanted: Sequence[int]) -> Tensor:
        windows, each = tokens.shape
        tokens, positions = tokens.contiguous(), positions.contiguous()
        logits = torch.empty(windows, len(wanted), self.config.vocab_size)
        pointers, numbers = ctypes.c_void_p * windows, ctypes.c_int64 * windows
        kernels.library().ttscribe_decode(
            self._pointer,
            windows,
            each,
            tokens.data_ptr(),
            positions.data_ptr(),
            pointers(*(row.cache.data_ptr() for row in state)),
            pointers(*(row.memory.data_ptr() for row in state)),
            numbers(*(row.length for row in state)),
            len(wanted),
            (ctypes.c_int64 * len(wanted))(*wanted),
            logits.data_ptr(),
            torch.get_num_threads(),
        )
        return logits

    def greedy(self, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int) -> None:
        with self._steps.decoding():
            pick_on_host(self, picked, position, state, Picker(rules), limit=limit, end=end)

    def reorder(self, state: list[_Row], rows: Sequence[int]) -> list[_Row]:
        require_batch(len(rows), self.max_batch)
        # The first successor of a row goes on in its cache, which the others copy before.
        taken: set[int] = set()
        successors = []
        for row in rows:
            old = state[row]
            successors.append(_Row(old.cache.clone(), old.memory, old.length) if row in taken else old)
            taken.add(row)
        return successors
