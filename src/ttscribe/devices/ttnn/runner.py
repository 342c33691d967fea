"""Whisper on a Tenstorrent card: state at fixed addresses, encoder and decode steps replayed as traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ttscribe.compiler.program import Role, TensorSpec, Value
from ttscribe.compiler.settings import CompileSettings
from ttscribe.decoding import Picks, Rules, greedy_on_host
from ttscribe.devices.programs import LoadedProgram, ProgramRunner
from ttscribe.devices.torch_runner import require_batch
from ttscribe.devices.ttnn.device import TtnnDevice, command_queues
from ttscribe.devices.ttnn.simulator import slow_dispatch
from ttscribe.devices.ttnn.traces import Queues, Trace, Untraced
from ttscribe.errors import OptionError, StateGone
from ttscribe.whisper.model import WhisperModel

# Replayed; prefill runs call by call, once a window, since each length of prompt is a program of its own.
_TRACED = ("encode", "cross_kv", "decode_step", "greedy_step")


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
        self._tensors: dict[tuple[str, str], Any] = {}
        self._traces: dict[str, Trace | Untraced] = {}
        self._encoded = self._started_last = _Generation(0, 0)

    def program(self, name: str, prompt_length: int = 0) -> LoadedProgram:
        """The loaded program. What lasts may only be allocated while no trace is recorded, so loading ends them all."""
        if (name, prompt_length) not in self._loaded:
            self._release()
            loaded = super().program(name, prompt_length)
            for value in loaded.program.inputs:
                key = _key(name, value)
                if name != "prefill" and key not in self._tensors and isinstance(value.spec, TensorSpec):
                    self._tensors[key] = self.device.zeros(value.spec)
        return super().program(name, prompt_length)

    def encode(self, mel: Tensor) -> _Generation:
        require_batch(len(mel), self.max_batch)
        self._write("encode", mel=mel.transpose(1, 2))
        self._replay("encode")
        self._encoded = _Generation(self._encoded.number + 1, len(mel))
        return self._encoded

    def encoder_states(self, encoded: _Generation) -> Tensor:
        _require(encoded, self._encoded, "encoder states")
        (handed_over,) = self.program("cross_kv").program.inputs_of(Role.HANDED_OVER)
        states = self.device.to_host(self._tensors[_key("cross_kv", handed_over)], torch.float32)
        return states[: encoded.windows]

    def start(self, encoder_states: _Generation) -> _Generation:
        _require(encoder_states, self._encoded, "encoder states")
        self._replay("cross_kv")
        self._started_last = _Generation(self._started_last.number + 1, encoder_states.windows)
        return self._started_last

    def prefill(self, tokens: Tensor, state: _Generation) -> Tensor:
        _require(state, self._started_last, "decoder state")
        loaded = self.program("prefill", tokens.shape[1])
        # Recording runs every program: now, while the caches hold nothing of this window but what cross_kv makes again.
        self._trace("decode_step")
        tensors = dict(self._tensors)
        for value in loaded.program.inputs_of(Role.ARGUMENT):
            assert isinstance(value.spec, TensorSpec)
            tensors[_key("prefill", value)] = self.device.to_device(self._for_every_chip(tokens), value.spec)
        outputs = loaded(*(tensors[_key("prefill", value)] for value in loaded.program.inputs))
        return self._logits(outputs, len(tokens))

    def decode_step(self, token: Tensor, position: Tensor, state: _Generation) -> Tensor:
        _require(state, self._started_last, "decoder state")
        self._write("decode_step", token=token, position=position)
        return self._logits(self._replay("decode_step"), len(token))

    def greedy(
        self, picked: Sequence[Picks], position: int, state: _Generation, rules: Rules, *, limit: int, end: int
    ) -> None:
        if not rules.only_suppress(self.suppress):
            greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)
            return
        _require(state, self._started_last, "decoder state")
        tokens = torch.tensor([row.tokens[-1] for row in picked])
        self._write("greedy_step", token=tokens, position=torch.full(tokens.shape, position))
        while any(row.goes_on(limit, end) for row in picked):
            # Chips go on together; what one gives after its row's end is thrown away.
            for row, pick in zip(picked, self._read_picks(self._replay("greedy_step")), strict=False):
                if row.goes_on(limit, end):
                    row.take(*pick)

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

    def _for_every_chip(self, tensor: Tensor) -> Tensor:
        """[B, ...] as a row for each chip: those without a window of their own get zeros."""
        missing = self.device.chips - len(tensor)
        # F.pad counts from the last dimension.
        return F.pad(tensor, (0, 0) * (tensor.dim() - 1) + (0, missing)) if missing else tensor

    def _write(self, program: str, **arguments: Tensor) -> None:
        loaded = self.program(program)
        # Before the write: to record a trace is to run the program, and greedy_step changes its inputs.
        self._trace(program)
        for value in loaded.program.inputs_of(Role.ARGUMENT):
            assert isinstance(value.spec, TensorSpec)
            host = self.device.host_tensor(self._for_every_chip(arguments[value.name]), value.spec)
            self._queues.write(host, self._tensors[_key(program, value)])

    def _replay(self, program: str) -> tuple[Any, ...]:
        trace = self._trace(program)
        self._queues.replay(trace)
        if program == "encode":
            self._hand_over(trace)
        return trace.outputs

    def _logits(self, outputs: Sequence[Any], rows: int) -> Tensor:
        (logits,) = outputs
        return self.device.to_host(logits, torch.float32)[:rows]

    def _trace(self, program: str) -> Trace | Untraced:
        """The program's trace. All are recorded together, after everything that lasts is allocated."""
        if program not in self._traces:
            for name in _TRACED:
                self.program(name)
            self._release()
            for name in _TRACED:
                self._traces[name] = self._record(name)
        return self._traces[program]

    def _record(self, name: str) -> Trace | Untraced:
        loaded = self.program(name)

        def given() -> list[Any]:
            return [self._tensors[_key(name, value)] for value in loaded.program.inputs]

        if slow_dispatch():
            return Untraced(loaded, given)
        trace = Trace(self.device.library, self.device.handle, loaded, given())
        if name == "encode":
            self._hand_over(trace)
        return trace

    def _hand_over(self, encoded: Trace | Untraced) -> None:
        """What encode gives is what cross_kv reads; of a trace it is the same tensor each time."""
        (handed_over,) = self.program("cross_kv").program.inputs_of(Role.HANDED_OVER)
        (self._tensors[_key("cross_kv", handed_over)],) = encoded.outputs

    def _release(self) -> None:
        for trace in self._traces.values():
            trace.release()
        self._traces.clear()


def _key(program: str, value: Value) -> tuple[str, str]:
    """What tells an input's tensor: the state's are every program's, by name; others are a program's own."""
    return ("" if value.role is Role.STATE else program, value.name)


def _require(state: _Generation, latest: _Generation, what: str) -> None:
    if state != latest:
        raise StateGone(f"{what}: gone; this card holds 1 decoding at a time, and another has begun since")
