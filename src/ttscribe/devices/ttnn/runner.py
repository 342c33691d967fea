"""Whisper on a Tenstorrent card: state at fixed addresses, encoder and decode steps replayed as traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler.compilation import Settings
from ttscribe.compiler.program import TensorSpec
from ttscribe.devices.programs import LoadedProgram, ProgramRunner
from ttscribe.devices.ttnn.device import TtnnDevice, command_queues
from ttscribe.devices.ttnn.traces import Queues, Trace
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.whisper.model import WhisperModel

# Replayed; prefill runs call by call, once a window, since each length of prompt is a program of its own.
_TRACED = ("encode", "cross_kv", "decode_step", "greedy_step")


@dataclass(frozen=True)
class _Turn:
    """Stands for encoder states or a decoder state: on a card there is one of each, that of the latest turn."""

    number: int


class TtnnRunner(ProgramRunner):
    """Runs a Whisper model on a card, one window at a time; on several chips, one each, batched in dimension 0.

    Encoder states, caches, and every program's inputs are allocated once; a trace reads and writes them where they
    are. A new window's ``encode`` overwrites the last one's states, a new ``start`` its caches: what is used after that
    raises DeviceUnavailable rather than decode another window's audio.
    """

    device: TtnnDevice

    def __init__(
        self, model: WhisperModel, device: TtnnDevice, settings: Settings, suppress: Sequence[int] = ()
    ) -> None:
        super().__init__(model, device, settings, suppress)
        self._queues = Queues(device.library, device.handle, command_queues(device.board))
        self._tensors: dict[str, Any] = {}
        self._traces: dict[str, Trace] = {}
        self._encoded = self._started = _Turn(0)

    def program(self, name: str, prompt_length: int = 0) -> LoadedProgram:
        """The loaded program. What lasts may only be allocated while no trace is recorded, so loading ends them all."""
        if (name, prompt_length) not in self._loaded:
            self._release()
            loaded = super().program(name, prompt_length)
            for value in loaded.program.inputs:
                key = _key(name, value.name)
                if name != "prefill" and key not in self._tensors and isinstance(value.spec, TensorSpec):
                    self._tensors[key] = self.device.zeros(value.spec)
        return super().program(name, prompt_length)

    def encode(self, mel: Tensor) -> _Turn:
        if mel.shape[0] != self.device.chips:
            raise OptionError(f"{self.device.chips} chips take a window each at a time, not {mel.shape[0]} in all")
        self._write("encode", mel=mel.transpose(1, 2))
        self._replay("encode")
        self._encoded = _Turn(self._encoded.number + 1)
        return self._encoded

    def start(self, encoder_states: _Turn) -> _Turn:
        self._require(encoder_states, self._encoded, "encoder states")
        self._replay("cross_kv")
        self._started = _Turn(self._started.number + 1)
        return self._started

    def prefill(self, tokens: Tensor, state: _Turn) -> Tensor:
        self._require(state, self._started, "decoder state")
        loaded = self.program("prefill", tokens.shape[1])
        # Recording runs every program: now, while the caches hold nothing of this window but what cross_kv makes again.
        self._trace("decode_step")
        (spec,) = (value.spec for value in loaded.program.inputs if value.name == "tokens")
        assert isinstance(spec, TensorSpec)
        given = {**self._tensors, _key("prefill", "tokens"): self.device.to_device(tokens, spec)}
        return self._logits(*loaded(*(given[_key("prefill", value.name)] for value in loaded.program.inputs)))

    def decode_step(self, token: Tensor, position: Tensor, state: _Turn) -> Tensor:
        self._require(state, self._started, "decoder state")
        self._write("decode_step", token=token, position=position)
        return self._logits(*self._replay("decode_step"))

    def generate(self, token: int, position: int, state: _Turn, *, limit: int, end: int) -> list[int]:
        self._require(state, self._started, "decoder state")
        if self.device.chips > 1:
            raise OptionError("tokens are picked on a device of one chip: several would end at different tokens")
        self._write("greedy_step", token=torch.tensor([token]), position=torch.tensor([position]))
        following: list[int] = []
        while len(following) < limit and (not following or following[-1] != end):
            (chosen,) = self._replay("greedy_step")
            following.append(int(self.device.to_host(chosen, torch.int64)))
        return following

    def _require(self, given: _Turn, latest: _Turn, what: str) -> None:
        if given != latest:
            raise DeviceUnavailable(f"{what}: gone; a card holds one window's, and another has begun since")

    def _write(self, program: str, **inputs: Tensor) -> None:
        loaded = self.program(program)
        self._trace(program)
        specs = {value.name: value.spec for value in loaded.program.inputs}
        for name, tensor in inputs.items():
            spec = specs[name]
            assert isinstance(spec, TensorSpec)
            self._queues.write(self.device.host_tensor(tensor, spec), self._tensors[_key(program, name)])

    def _replay(self, program: str) -> tuple[Any, ...]:
        trace = self._trace(program)
        self._queues.replay(trace)
        return trace.outputs

    def _trace(self, program: str) -> Trace:
        """The program's trace. All are recorded together, after everything that lasts is allocated."""
        if program not in self._traces:
            for name in _TRACED:
                self.program(name)
            self._release()
            for name in _TRACED:
                self._traces[name] = self._record(name)
        return self._traces[program]

    def _record(self, name: str) -> Trace:
        loaded = self.program(name)
        given = [self._tensors[_key(name, value.name)] for value in loaded.program.inputs]
        trace = Trace(self.device.library, self.device.handle, loaded, given)
        if name == "encode":
            (self._tensors[_key("cross_kv", "encoder_states")],) = trace.outputs
        return trace

    def _release(self) -> None:
        for trace in self._traces.values():
            trace.release()
        self._traces.clear()


def _key(program: str, name: str) -> str:
    """What tells an input's tensor: the state's are every program's, in one form; others are a program's own."""
    return name if name.startswith("state_") else f"{program} {name}"
