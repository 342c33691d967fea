"""Whisper as compiled programs on a device that runs programs: the emulator, or TT-NN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ttscribe.compiler.compilation import Compiled, Settings, compile_graph
from ttscribe.compiler.program import Program, TensorSpec
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.errors import OptionError
from ttscribe.whisper.model import DecoderState, KeyValue, WhisperModel


class LoadedProgram(Protocol):
    """A program with its weights on the device; ``program`` is the very object that was loaded.

    ``ledger`` counts every operation that runs, by target, on the device and on the host.
    """

    program: Program
    ledger: Counter[str]

    def __call__(self, *inputs: Any) -> tuple[Any, ...]: ...


class ProgramDevice(Protocol):
    """Something that runs programs. Device tensors are its own, opaque to the caller."""

    def load(self, program: Program, params: Mapping[str, Tensor]) -> LoadedProgram: ...

    def to_device(self, tensor: Tensor, spec: TensorSpec) -> Any: ...

    def to_host(self, tensor: Any, dtype: torch.dtype) -> Tensor: ...

    def zeros(self, spec: TensorSpec) -> Any: ...

    def repeated(self, loaded: LoadedProgram, inputs: Sequence[Any]) -> AbstractContextManager[Callable[[], None]]:
        """What runs a program on these inputs and waits for its end, as fast as the device can do it again and again.

        Nothing else may be done on the device in the block.
        """


@dataclass(frozen=True)
class _State:
    """Device tensors of one decoding, in the order in which the programs take them."""

    leaves: tuple[Any, ...]


class ProgramRunner:
    """Runs a Whisper model as programs, one recording at a time (batch 1). Compiles each when it is first needed."""

    def __init__(
        self, model: WhisperModel, device: ProgramDevice, settings: Settings, suppress: Sequence[int] = ()
    ) -> None:
        """``suppress`` are the tokens that ``generate`` never gives."""
        self.config = model.config
        self.model, self.device, self.settings, self.suppress = model, device, settings, tuple(suppress)
        self._loaded: dict[tuple[str, int], LoadedProgram] = {}

    def program(self, name: str, prompt_length: int = 0) -> LoadedProgram:
        """The loaded program of that name; prefill is compiled for each length of prompt."""
        key = (name, prompt_length)
        if key not in self._loaded:
            captured = capture_program(name, self.model, prompt_length=prompt_length, suppress=self.suppress)
            compiled: Compiled = compile_graph(captured, self.settings)
            params = {param: data for param, data in compiled.params.items() if data is not None}
            self._loaded[key] = self.device.load(compiled.program, params)
        return self._loaded[key]

    def loaded_programs(self) -> list[LoadedProgram]:
        """Every program that was loaded so far."""
        return list(self._loaded.values())

    def encode(self, mel: Tensor) -> Any:
        if mel.shape[0] != 1:
            raise OptionError(f"compiled programs take one window at a time, not {mel.shape[0]}")
        (states,) = self._run("encode", mel.transpose(1, 2))
        return states

    def start(self, encoder_states: Any) -> Any:
        cross = self.program("cross_kv")
        specs = [value.spec for value in cross.program.inputs[1:]]
        kept = [self.device.zeros(spec) for spec in specs if isinstance(spec, TensorSpec)]
        cross(encoder_states, *kept)
        inputs = self.program("decode_step").program.inputs[2:]
        caches = [self.device.zeros(value.spec) for value in inputs[: len(kept)] if isinstance(value.spec, TensorSpec)]
        return _State(tuple(pytree.tree_leaves(DecoderState(_pairs(caches), _pairs(kept)))))

    def prefill(self, tokens: Tensor, state: Any) -> Tensor:
        return self._logits(*self._run("prefill", tokens, state=state, prompt_length=tokens.shape[1]))

    def decode_step(self, token: Tensor, position: Tensor, state: Any) -> Tensor:
        return self._logits(*self._run("decode_step", token, position, state=state))

    def generate(self, token: int, position: int, state: Any, *, limit: int, end: int) -> list[int]:
        """Greedy tokens after ``token``, which is at ``position``: up to ``limit`` of them, or until ``end``, included.

        The device picks each and makes ready for the next; the host reads the token, and nothing else, at every step.
        """
        loaded = self.program("greedy_step")
        first = [torch.tensor([token]), torch.tensor([position])]
        held = self._moved(loaded, first)
        following: list[int] = []
        while len(following) < limit and (not following or following[-1] != end):
            (chosen,) = loaded(*held, *state.leaves)
            following.append(int(self.device.to_host(chosen, torch.int64)))
        return following

    def _run(self, name: str, *tensors: Tensor, state: _State | None = None, prompt_length: int = 0) -> tuple[Any, ...]:
        """Move host tensors in as the program's first inputs; the state's tensors are its last."""
        loaded = self.program(name, prompt_length)
        return loaded(*self._moved(loaded, tensors), *(state.leaves if state is not None else ()))

    def _moved(self, loaded: LoadedProgram, tensors: Sequence[Tensor]) -> list[Any]:
        """Host tensors as the program's first inputs."""
        specs = [value.spec for value in loaded.program.inputs]
        return [
            self.device.to_device(tensor, spec)
            for tensor, spec in zip(tensors, specs, strict=False)
            if isinstance(spec, TensorSpec)
        ]

    def _logits(self, logits: Any) -> Tensor:
        return self.device.to_host(logits, torch.float32)


def _pairs(tensors: list[Any]) -> list[KeyValue]:
    """Keys and values in turn, as one pair for each layer."""
    return [KeyValue(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True)]
