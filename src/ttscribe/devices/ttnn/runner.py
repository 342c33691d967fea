"""Whisper on a Tenstorrent card: state at fixed addresses, encoder and decode steps replayed as traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ttscribe.compiler.program import Role, TensorSpec, Value
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.vocabulary import whole_logits
from ttscribe.compiler.whisper_programs import filled_prompt
from ttscribe.decoding import LAST, Picks, Rules, greedy_on_host
from ttscribe.devices.programs import LoadedProgram, ProgramKey, ProgramRunner, step_arguments
from ttscribe.devices.torch_runner import require_batch
from ttscribe.devices.ttnn.device import TtnnDevice, command_queues
from ttscribe.devices.ttnn.simulator import slow_dispatch
from ttscribe.devices.ttnn.traces import Queues, Trace, Untraced
from ttscribe.errors import OptionError, StateGone
from ttscribe.whisper.model import WhisperModel

_TRACED = ("encode", "cross_kv", "prefill", "decode_step", "greedy_step", "timed_step")


@dataclass(frozen=True)
class _Generation:
    """Stands for encoder states or a decoder state: on a card there is one of each, that of the latest generation.

    ``windows`` is how many of the card's chips hold a window.
    """

    number: int
    windows: int


class TtnnRunner(ProgramRunner):
    """Runs a Whisper model on a card, one window at a time; on several chips, one each, batched in dimension 0.

    Chips do not speak with each other: with fewer windows the last ones are given zeros, and nothing of theirs is read.

    Encoder states, caches, and every program's inputs are allocated once; a trace reads and writes them where they
    are. So one decoding is alive at a time: a new window's ``encode`` overwrites the last one's states, a new ``start``
    its caches, and what is used after that raises StateGone.
    """

    device: TtnnDevice
    max_decodings: int | None = 1

    def __init__(
        self, model: WhisperModel, device: TtnnDevice, settings: CompileSettings, suppress: Sequence[int] = ()
    ) -> None:
        super().__init__(model, device, settings, suppress)
        self.max_batch = device.chips
        self._queues = Queues(device.library, device.handle, command_queues(device.board))
        self._tensors: dict[tuple[ProgramKey | None, str], Any] = {}
        self._traces: dict[ProgramKey, Trace | Untraced] = {}
        self._encoded = self._started_last = _Generation(0, 0)

    def program(self, name: str, length: int | None = None) -> LoadedProgram:
        """The loaded program. What lasts may only be allocated while no trace is recorded, so loading ends them all."""
        key = self._key(name, length)
        if key not in self._loaded:
            self._release()
            for value in super().program(name, length).program.inputs:
                of = _input(key, value)
                if of not in self._tensors and isinstance(value.spec, TensorSpec):
                    self._tensors[of] = self.device.zeros(value.spec)
        return super().program(name, length)

    def encode(self, mel: Tensor) -> _Generation:
        require_batch(len(mel), self.max_batch)
        self._run_trace("encode", mel=mel.transpose(1, 2))
        self._encoded = _Generation(self._encoded.number + 1, len(mel))
        return self._encoded

    def encoder_states(self, encoded: _Generation) -> Tensor:
        _require(encoded, self._encoded, "encoder states")
        (handed_over,) = self.program("cross_kv").program.inputs_of(Role.HANDED_OVER)
        states = self.device.to_host(self._tensors[_input(self._key("cross_kv"), handed_over)], torch.float32)
        return states[: encoded.windows]

    def start(self, encoder_states: _Generation) -> _Generation:
        _require(encoder_states, self._encoded, "encoder states")
        self._run_trace("cross_kv")
        self._started_last = _Generation(self._started_last.number + 1, encoder_states.windows)
        return self._started_last

    def prefill(self, tokens: Tensor, state: _Generation, rows: Sequence[int] = LAST) -> Tensor:
        _require(state, self._started_last, "decoder state")
        filled, wanted = filled_prompt(tokens, rows, self.config)
        # Each chip is given the rows along the same dimension as its prompt.
        outputs = self._run_trace("prefill", filled.shape[1], tokens=filled, rows=wanted.repeat(self.device.chips))
        return self._logits(outputs, len(tokens))[:, : len(rows)]

    def decode_step(self, token: Tensor, position: Tensor, state: _Generation) -> Tensor:
        _require(state, self._started_last, "decoder state")
        return self._logits(self._run_trace("decode_step", token=token, position=position), len(token))

    def greedy(
        self, picked: Sequence[Picks], position: int, state: _Generation, rules: Rules, *, limit: int, end: int
    ) -> None:
        step = self.step_by(rules)
        if step is None:
            greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)
            return
        _require(state, self._started_last, "decoder state")
        if not any(row.goes_on(limit, end) for row in picked):
            return
        key = self._key(step)
        self._write(key, step_arguments(picked, position, rules))
        ahead = self._queues.read(self._replay(key))
        while any(row.goes_on(limit, end) for row in picked):
            reading = ahead
            # The card goes on before the host knows the token: it needs to be told nothing. What it picks after the end
            # is thrown away; beyond the limit there might be no room in its cache.
            if any(row.goes_on(limit - 1, end) for row in picked):
                ahead = self._queues.read(self._replay(key))
            # Chips go on together; what one gives after its row's end is thrown away too.
            for row, pick in zip(picked, self._read_picks(reading()), strict=False):
                if row.goes_on(limit, end):
                    row.take(*pick)
        # Nothing is read any more when the next window is written.
        ahead()

    def reorder(self, state: _Generation, rows: Sequence[int]) -> _Generation:
        if [*rows] != [*range(len(rows))]:
            raise OptionError(
                f"this card holds {self.max_decodings} decoding a chip, where it stands: it has no beams to reorder"
            )
        return state

    def close(self) -> None:
        if not self._closed:
            self._release()
            self._tensors.clear()
            super().close()
            self.device.leave()

    def _for_every_chip(self, tensor: Tensor, spec: TensorSpec) -> Tensor:
        """What some chips get along dimension 0, and zeros for those without a window of their own."""
        missing = self.device.chips * spec.shape[0] - len(tensor)
        # F.pad counts from the last dimension.
        return F.pad(tensor, (0, 0) * (tensor.dim() - 1) + (0, missing)) if missing else tensor

    def _run_trace(self, name: str, length: int | None = None, **arguments: Tensor) -> tuple[Any, ...]:
        """What a program gives of these arguments; the host does not wait for it."""
        self._write(self._key(name, length), arguments)
        return self._replay(self._key(name, length))

    def _write(self, key: ProgramKey, arguments: Mapping[str, Tensor]) -> None:
        loaded = self.program(*key)
        # Before the write: to record a trace is to run the program, and steps that pick change their inputs.
        self._trace(key)
        for value in loaded.program.inputs_of(Role.ARGUMENT):
            assert isinstance(value.spec, TensorSpec)
            host = self.device.host_tensor(self._for_every_chip(arguments[value.name], value.spec), value.spec)
            self._queues.write(host, self._tensors[_input(key, value)])

    def _replay(self, key: ProgramKey) -> tuple[Any, ...]:
        trace = self._trace(key)
        self._queues.replay(trace)
        if key[0] == "encode":
            self._hand_over(trace)
        return trace.outputs

    def _logits(self, outputs: Sequence[Any], rows: int) -> Tensor:
        (parts,) = outputs
        return whole_logits(self.device.to_host(parts, torch.float32)[:rows])

    def _trace(self, key: ProgramKey) -> Trace | Untraced:
        """The program's trace. All are recorded together, after everything that lasts is allocated."""
        if key not in self._traces:
            for name in _TRACED:
                self.program(name)
            self.program(*key)
            self._release()
            # In the order in which one reads what another writes.
            for each in sorted(self._loaded, key=lambda loaded: _TRACED.index(loaded[0])):
                self._traces[each] = self._record(each)
        return self._traces[key]

    def _record(self, key: ProgramKey) -> Trace | Untraced:
        loaded = self.program(*key)

        def given() -> list[Any]:
            return [self._tensors[_input(key, value)] for value in loaded.program.inputs]

        if slow_dispatch():
            return Untraced(loaded, given)
        trace = Trace(self.device.library, self.device.handle, loaded, given())
        if key[0] == "encode":
            self._hand_over(trace)
        return trace

    def _hand_over(self, encoded: Trace | Untraced) -> None:
        """What encode gives is what cross_kv reads; of a trace it is the same tensor each time."""
        (handed_over,) = self.program("cross_kv").program.inputs_of(Role.HANDED_OVER)
        (self._tensors[_input(self._key("cross_kv"), handed_over)],) = encoded.outputs

    def _release(self) -> None:
        for trace in self._traces.values():
            trace.release()
        self._traces.clear()


def _input(key: ProgramKey, value: Value) -> tuple[ProgramKey | None, str]:
    """What tells an input's tensor: the state's are every program's, by name; others are a program's own."""
    return (None if value.role is Role.STATE else key, value.name)


def _require(state: _Generation, latest: _Generation, what: str) -> None:
    if state != latest:
        raise StateGone(f"{what}: gone; this card holds 1 decoding at a time, and another has begun since")
