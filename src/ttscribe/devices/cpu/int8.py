"""Whisper with products in 8 bits, by the kernels in C++."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ttscribe import threads
from ttscribe.decoding import LAST, Closable, Picks, Rules, pick_on_host
from ttscribe.devices.cpu import kernels
from ttscribe.devices.cpu.condensing import Encoded, condensed, with_positions
from ttscribe.devices.cpu.features import log_power
from ttscribe.devices.cpu.kernels import CONDENSED
from ttscribe.devices.cpu.packed import Packed, structure
from ttscribe.devices.cpu.picking import Picker
from ttscribe.devices.joining import JoinedSteps
from ttscribe.devices.rows import MAX_BATCH, require_batch
from ttscribe.types import Features, FloatArray, IntArray, LogPower
from ttscribe.whisper.config import WhisperConfig


@dataclass(frozen=True, slots=True)
class _Row:
    """One row's state: ``cache`` [layers, 2, heads, slots, 64], and the ``memory`` of its window.

    That is of ``length`` positions, of which ``single`` stand for themselves alone, in bfloat16.
    """

    cache: FloatArray
    memory: npt.NDArray[np.uint16]
    length: int
    single: int

    def attended(self) -> kernels.Memory:
        return kernels.Memory(self.memory.ctypes.data, self.length, self.single)


class Int8Runner(Closable):
    """Runs packed weights; threads may share it, and their steps are then taken together."""

    max_batch = MAX_BATCH
    max_decodings: int | None = None
    concurrent = True
    precision = "int8"

    def __init__(self, packed: Packed, config: WhisperConfig) -> None:
        self.config = config
        self._packed = packed
        self._model = structure(packed, config)
        self._pointer = ctypes.pointer(self._model)
        self._steps = JoinedSteps(self._step, self.max_batch)
        self._screened_steps = JoinedSteps(partial(self._step, screened=True), self.max_batch)

    @property
    def log_power(self) -> LogPower:
        """The kernels' transform."""
        return log_power

    def encode(self, mel: Features) -> list[Encoded]:
        require_batch(len(mel), self.max_batch)
        return [self._encoded(window, 0) for window in mel]

    def encode_condensed(self, mel: Features) -> list[Encoded]:
        require_batch(len(mel), self.max_batch)
        return [self._encoded(window, condensed(window)) for window in mel]

    def condenses(self, mel: Features, /) -> bool:
        return condensed(mel) > 0

    def _encoded(self, mel: Features, groups: int) -> Encoded:
        embeddings = self._packed["audio_positions"]
        # Of the silence one position is enough, and the last is after it.
        convolved = self._convolved(mel[:, : 2 * (len(embeddings) - CONDENSED * groups + 1)] if groups else mel)
        encoded = with_positions(convolved, embeddings, groups)
        states, single = encoded
        kernels.library().ttscribe_encode(self._pointer, states.ctypes.data, len(states), single, threads.count())
        return encoded

    def _convolved(self, mel: Features) -> FloatArray:
        """Of features [bins, frames] both convolutions: [frames / 2, width]."""
        first, second, width = self._model.conv1, self._model.conv2, self.config.d_model
        # Before and after them nothing is heard; a position's channels lie beside each other.
        frames, bins = mel.shape[1], mel.shape[0]
        heard = np.zeros((frames + 2, bins), np.float32)
        heard[1:-1] = mel.T
        between = np.zeros((frames + 2, width), np.float32)
        self._convolve(first, heard, bins, between[1:-1])
        states = np.empty(((frames + 1) // 2, width), np.float32)
        self._convolve(second, between, 2 * width, states)
        return states

    def _convolve(self, convolution: kernels.Convolution, heard: FloatArray, stride: int, result: FloatArray) -> None:
        kernels.library().ttscribe_convolve(
            convolution, heard.ctypes.data, stride, len(result), result.ctypes.data, threads.count()
        )

    def encoder_states(self, encoded: list[Encoded]) -> FloatArray:
        return np.stack([window.expanded() for window in encoded])

    def start(self, encoder_states: list[Encoded]) -> list[_Row]:
        return [self._started(*window) for window in encoder_states]

    def _started(self, states: FloatArray, single: int) -> _Row:
        config, length = self.config, len(states)
        size = kernels.library().ttscribe_memory_size(self._pointer, length)
        memory = np.empty(size, np.uint16)
        kernels.library().ttscribe_remember(
            self._pointer, states.ctypes.data, length, memory.ctypes.data, threads.count()
        )
        cache = (config.decoder_layers, 2, config.decoder_attention_heads, self._model.slots, kernels.HEAD)
        return _Row(np.empty(cache, np.float32), memory, length, single)

    def prefill(self, tokens: IntArray, state: list[_Row], rows: Sequence[int] = LAST) -> FloatArray:
        wanted = [range(tokens.shape[1])[row] for row in rows]
        return self._decode(tokens, np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape), state, wanted)

    def decode_step(self, token: IntArray, position: IntArray, state: list[_Row]) -> FloatArray:
        return self._steps(token, position, state)

    def _step(self, token: IntArray, position: IntArray, state: list[_Row], *, screened: bool = False) -> FloatArray:
        return self._decode(token[:, None], position[:, None], state, (0,), screened=screened)[:, 0]

    def _decode(
        self, tokens: IntArray, positions: IntArray, state: list[_Row], wanted: Sequence[int], *, screened: bool = False
    ) -> FloatArray:
        """Logits [B, R, V]; ``screened`` what ``Picker`` makes exact where it has to be, from half of the weights."""
        windows, each = tokens.shape
        tokens, positions = np.ascontiguousarray(tokens), np.ascontiguousarray(positions)
        size = self._model.head.outputs + self.config.d_model if screened else self.config.vocab_size
        logits = np.empty((windows, len(wanted), size), np.float32)
        kernels.library().ttscribe_decode(
            self._pointer,
            windows,
            each,
            tokens.ctypes.data,
            positions.ctypes.data,
            (ctypes.c_void_p * windows)(*(row.cache.ctypes.data for row in state)),
            (kernels.Memory * windows)(*(row.attended() for row in state)),
            len(wanted),
            (ctypes.c_int64 * len(wanted))(*wanted),
            logits.ctypes.data,
            screened,
            threads.count(),
        )
        return logits

    def greedy(self, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int) -> None:
        # What was said changes logits: then it takes all of them.
        screened = rules.repetition is None
        steps = self._screened_steps if screened else self._steps
        pick = Picker(rules, self._pointer if screened else None)
        with steps.decoding():
            pick_on_host(steps, picked, position, state, pick, limit=limit, end=end)

    def reorder(self, state: list[_Row], rows: Sequence[int]) -> list[_Row]:
        require_batch(len(rows), self.max_batch)
        # The first successor of a row goes on in its cache, which the others copy before.
        taken: set[int] = set()
        successors = []
        for row in rows:
            old = state[row]
            successors.append(replace(old, cache=old.cache.copy()) if row in taken else old)
            taken.add(row)
        return successors
