"""The torch module with the rows of all decodings beside each other, in memory that stays where it is.

On a GPU a decode step of one row takes less time than its hundreds of kernels take to be launched one by one. As
everything that a step reads and writes stands still here, all of it is launched at once, as a CUDA graph; and the rows
of all threads that decode at the same time are in one state, so that weights are read once for all of them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ttscribe.decoding import LAST, Picks, Rules, greedy_on_host
from ttscribe.devices.joining import JoinedSteps
from ttscribe.devices.rows import require_batch, rows_together
from ttscribe.devices.torch_runner import TorchEncoder, on_host
from ttscribe.types import FloatArray, IntArray
from ttscribe.whisper.model import DecoderState, KeyValue, WhisperModel


class SlotRunner(TorchEncoder):
    """Runs the plain torch programs; threads may share it, and their steps are then taken together.

    A decoder state is a list of rows, each with a slot of its own, which is free again when nothing holds the row.
    """

    def __init__(self, model: WhisperModel) -> None:
        super().__init__(model)
        self._slots = _Slots(model)
        self._steps = JoinedSteps(self._step, self.max_batch)

    @torch.inference_mode()
    def start(self, encoder_states: Tensor) -> list[_Row]:
        return self._slots.started(self.model.cross_kv(encoder_states))

    @torch.inference_mode()
    def prefill(self, tokens: IntArray, state: list[_Row], rows: Sequence[int] = LAST) -> FloatArray:
        wanted = np.arange(tokens.shape[1])[[*rows]]
        return on_host(self._slots.prefill(state, self._given(tokens), self._given(wanted)))

    def decode_step(self, token: IntArray, position: IntArray, state: list[_Row]) -> FloatArray:
        return self._steps(token, position, state)

    @torch.inference_mode()
    def _step(self, token: IntArray, position: IntArray, state: list[_Row]) -> FloatArray:
        return on_host(self._slots.step(state, torch.from_numpy(token), torch.from_numpy(position)))

    def greedy(self, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int) -> None:
        with self._steps.decoding():
            greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)

    @torch.inference_mode()
    def reorder(self, state: list[_Row], rows: Sequence[int]) -> list[_Row]:
        require_batch(len(rows), self.max_batch)
        return self._slots.reordered(state, rows)


class _Row:
    """Holds a slot."""

    __slots__ = ("__weakref__", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot


class _Slots:
    """One decoder state of as many rows as were ever needed at once, a power of two, and the steps over it.

    A step goes over all slots up to the last one that takes part in it, again a power of two, so that there are few
    kinds of steps. What it writes for slots that take no part stands where their own next step will write first.
    """

    def __init__(self, model: WhisperModel) -> None:
        self._model = model
        self._device = model.decoder.embed_tokens.weight.device
        self._lock = threading.RLock()
        # Appended to wherever a row is collected, in whatever thread: the lock is not for that.
        self._free: list[int] = []
        self._count = 0
        self._state = DecoderState([], [])
        self._token = self._position = torch.empty(0)
        self._next: list[int] = []
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def started(self, cross: list[KeyValue]) -> list[_Row]:
        """Rows with these keys and values [B, H, S, E] of each layer, and empty caches."""
        with self._lock:
            rows = self._taken(cross, len(cross[0].key))
            index = self._index(rows)
            _put(cross, self._state.cross_attention, index)
            for kept in self._state.self_attention:
                for ours in kept:
                    ours[index] = 0
            for row in rows:
                self._next[row.slot] = 0
            return rows

    def prefill(self, rows: Sequence[_Row], tokens: Tensor, wanted: Tensor) -> Tensor:
        """Tokens [B, T] from position 0 on to the logits [B, R, V] after those ``wanted`` [R]."""
        with self._lock:
            index = self._index(rows)
            state = self._state.part(index)
            logits = self._model.prefill(tokens, state, wanted)
            _put(state.self_attention, self._state.self_attention, index)
            for row in rows:
                self._next[row.slot] = tokens.shape[1]
            return logits

    def step(self, rows: Sequence[_Row], token: Tensor, position: Tensor) -> Tensor:
        """A token [B] of each row at its position [B] to logits [B, V]."""
        with self._lock:
            count = rows_together(1 + max(row.slot for row in rows))
            last = self._model.config.max_target_positions - 1
            positions = torch.tensor([min(each, last) for each in self._next[:count]])
            tokens = torch.zeros(count, dtype=torch.int64)
            slots = torch.tensor([row.slot for row in rows])
            tokens[slots], positions[slots] = token, position
            self._token[:count] = tokens
            self._position[:count] = positions
            # A copy: the next step writes its logits in the same place.
            logits = self._logits(count)[slots.to(self._device)]
            for row, at in zip(rows, position.tolist(), strict=True):
                self._next[row.slot] = at + 1
            return logits

    def reordered(self, state: Sequence[_Row], rows: Sequence[int]) -> list[_Row]:
        """Rows that go on from where ``state[row]`` of each of ``rows`` is."""
        with self._lock:
            # The first successor of a row goes on in its slot, the others in those of rows that have none, or new ones.
            chosen = set(rows)
            spare = [row for at, row in enumerate(state) if at not in chosen]
            missing = len(rows) - len(chosen) - len(spare)
            spare += self._taken(self._state.cross_attention, max(0, missing))
            successors, sources, targets = list[_Row](), list[_Row](), list[_Row]()
            for at in rows:
                row = state[at]
                if at in chosen:
                    chosen.remove(at)
                else:
                    sources.append(row)
                    row = spare.pop()
                    targets.append(row)
                successors.append(row)
            self._copy(sources, targets)
            return successors

    def _copy(self, sources: Sequence[_Row], targets: Sequence[_Row]) -> None:
        old, new = self._index(sources), self._index(targets)
        for pairs in self._state:
            for pair in pairs:
                for part in pair:
                    part[new] = part[old]
        for source, target in zip(sources, targets, strict=True):
            self._next[target.slot] = self._next[source.slot]

    def _index(self, rows: Sequence[_Row]) -> Tensor:
        return torch.tensor([row.slot for row in rows], dtype=torch.int64, device=self._device)

    def _taken(self, like: list[KeyValue], count: int) -> list[_Row]:
        """So many rows with the lowest slots that are free; what was there is still there."""
        if count > len(self._free):
            self._grow(like, rows_together(self._count + count - len(self._free)))
        self._free.sort()
        rows = [_Row(self._free.pop(0)) for _ in range(count)]
        for row in rows:
            weakref.finalize(row, self._free.append, row.slot)
        return rows

    def _grow(self, like: list[KeyValue], count: int) -> None:
        """Memory for so many rows, with what the old one holds; graphs are of the old one's addresses."""
        self._graphs.clear()
        empty = self._model.new_state(
            [KeyValue(*(part.new_zeros(count, *part.shape[1:]) for part in pair)) for pair in like]
        )
        if self._count:
            for old, new in zip(self._state, empty, strict=True):
                _put(old, new, slice(self._count))
        self._state = empty
        self._token, self._position = (torch.zeros(count, dtype=torch.int64, device=self._device) for _ in range(2))
        self._next += [0] * (count - self._count)
        self._free += range(self._count, count)
        self._count = count

    def _logits(self, count: int) -> Tensor:
        """Of the tokens at their positions that the first ``count`` slots were given: [count, V]."""
        if self._device.type != "cuda":
            return self._computed(count)
        if count not in self._graphs:
            self._graphs[count] = self._captured(count)
        graph, logits = self._graphs[count]
        graph.replay()
        return logits

    def _computed(self, count: int) -> Tensor:
        rows = slice(count)
        return self._model.decode_step(self._token[rows], self._position[rows], self._state.part(rows))

    def _captured(self, count: int) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """The step as a graph, and where that leaves its logits. Other threads may go on using the GPU meanwhile."""
        # Libraries allocate with their first calls, which nothing may do while a graph is captured.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._computed(count)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            logits = self._computed(count)
        return graph, logits


def _put(pairs: list[KeyValue], into: list[KeyValue], rows: Tensor | slice) -> None:
    """Write each layer's keys and values into those rows."""
    for new, kept in zip(pairs, into, strict=True):
        for theirs, ours in zip(new, kept, strict=True):
            ours[rows] = theirs
