"""Whisper as compiled programs on a device that runs programs: the emulator, or TT-NN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from ttscribe.compiler.compilation import Compiled, compile_graph
from ttscribe.compiler.memory import written_in_place
from ttscribe.compiler.program import Program, Role, TensorSpec
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.steps import TimestampIds, timestamp_ids
from ttscribe.compiler.vocabulary import whole_logits
from ttscribe.compiler.whisper_programs import capture_program, filled_prompt, prompt_length
from ttscribe.decoding import LAST, Closable, Picks, Rules, greedy_on_host
from ttscribe.devices.rows import require_batch, rows_together
from ttscribe.devices.torch_runner import on_host
from ttscribe.errors import DeviceUnavailable
from ttscribe.types import Features, FloatArray, IntArray, LogPower
from ttscribe.whisper.model import WhisperModel


class LoadedProgram(Protocol):
    """A program with its weights on the device; ``program`` is the very object that was loaded.

    ``ledger`` counts every operation that runs, by target, on the device and on the host. ``held`` are the values that
    loading made, by name: constants on the device, and what host segments read.
    """

    program: Program
    ledger: Counter[str]
    held: Mapping[str, Any]

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Run on the program's inputs, in order, to its outputs; tensors on the device are the device's own."""

    def run_step(self, index: int, values: dict[str, Any]) -> None:
        """Run one step of the body alone on ``values`` by name, ``held`` ones among them; its outputs join them."""


class ProgramDevice(Protocol):
    """Something that runs programs. Device tensors are its own, opaque to the caller."""

    def load(self, program: Program, params: Mapping[str, Tensor]) -> LoadedProgram:
        """Bind ``params`` by name, compute what setup makes of them, and put the constants on the device."""

    def to_device(self, tensor: Tensor, spec: TensorSpec) -> Any:
        """A copy of a host tensor of the spec's shape, in its element type, layout and memory."""

    def to_host(self, tensor: Any, dtype: torch.dtype) -> Tensor:
        """A copy in host memory, in ``dtype``."""

    def zeros(self, spec: TensorSpec) -> Any:
        """A tensor of zeros."""

    def copy(self, tensor: Any) -> Any:
        """The same values in memory of their own."""

    def joined(self, tensors: Sequence[Any]) -> Any:
        """Several tensors of one shape as one in memory of its own, one after another along the first dimension."""

    def parted(self, tensor: Any) -> Sequence[Any]:
        """The rows of a tensor along the first dimension, each in memory of its own."""

    def synchronize(self) -> None:
        """Wait until everything that was asked of the device is done."""

    def repeated(self, loaded: LoadedProgram, inputs: Sequence[Any]) -> AbstractContextManager[Callable[[], None]]:
        """What runs a program on these inputs and waits for its end, as fast as the device can do it again and again.

        Nothing else may be done on the device in the block.
        """


# A program's name, and of prefill the length of prompts, of a step how many rows it takes together.
ProgramKey = tuple[str, int | None]
# Device tensors of one decoding by the name of the programs' inputs that they are.
_State = dict[str, Any]


class ProgramRunner(Closable):
    """Runs a Whisper model as programs of batch 1, row after row, but for steps that pick tokens, which take all rows.

    Compiles each program when it is first needed. Encoder states are a list with the device tensor of each row, a
    decoder state a list of dictionaries.
    """

    max_batch = 32
    max_decodings: int | None = None
    log_power: LogPower | None = None
    # Capture and compilation of PyTorch's own are not safe in several threads.
    concurrent = False

    def __init__(
        self, model: WhisperModel, device: ProgramDevice, settings: CompileSettings, suppress: Sequence[int] = ()
    ) -> None:
        """``suppress`` are the tokens that a device that picks tokens itself never picks."""
        self.config = model.config
        self.precision = settings.precision.name
        self.model, self.device, self.settings, self.suppress = model, device, settings, tuple(suppress)
        self._compiled: dict[ProgramKey, Compiled] = {}
        self._loaded: dict[ProgramKey, LoadedProgram] = {}
        self._closed = False

    def compiled(self, name: str, size: int | None = None) -> Compiled:
        """The program of that name as compiled, for each size another.

        Of prefill ``size`` is to how many tokens prompts are filled up, without it the fewest; of steps how many rows
        go together, without it one.
        """
        key = self._key(name, size)
        if key not in self._compiled:
            given = {} if key[1] is None else {"length" if name == "prefill" else "batch": key[1]}
            captured = capture_program(name, self.model, **given, suppress=self.suppress)
            self._compiled[key] = compile_graph(captured, self.settings)
        return self._compiled[key]

    def program(self, name: str, size: int | None = None) -> LoadedProgram:
        """The loaded program of that name, as ``compiled`` has it; DeviceUnavailable after ``close``."""
        if self._closed:
            raise DeviceUnavailable("this model was closed, and is on no device any more: load it again")
        key = self._key(name, size)
        if key not in self._loaded:
            compiled = self.compiled(name, size)
            params = {param: data for param, data in compiled.params.items() if data is not None}
            self._loaded[key] = self.device.load(compiled.program, params)
        return self._loaded[key]

    def _key(self, name: str, size: int | None = None) -> ProgramKey:
        if name == "prefill":
            return name, size or prompt_length(1, self.config)
        return name, None if size == 1 else size

    def loaded_programs(self) -> list[LoadedProgram]:
        """Every program that was loaded so far."""
        return list(self._loaded.values())

    def encode(self, mel: Features) -> Any:
        require_batch(len(mel), self.max_batch)
        windows = torch.from_numpy(mel).transpose(1, 2)
        return [self._run("encode", {}, mel=window[None])[0] for window in windows]

    def encode_condensed(self, mel: Features) -> Any:
        return self.encode(mel)

    def condenses(self, _mel: Features, /) -> bool:
        return False

    def encoder_states(self, encoded: Any) -> FloatArray:
        return on_host(torch.cat([self.device.to_host(states, torch.float32) for states in encoded]))

    def start(self, encoder_states: Any) -> Any:
        return [self._started(states) for states in encoder_states]

    def _started(self, encoder_states: Any) -> _State:
        # Prefill names all of a decoding's state, cross_kv what it writes of it.
        state = {value.name: self.device.zeros(_spec(value.spec)) for value in _state_of(self.program("prefill"))}
        cross = self.program("cross_kv")
        (states,) = cross.program.inputs_of(Role.HANDED_OVER)
        self._run("cross_kv", {**state, states.name: encoder_states})
        return state

    def prefill(self, tokens: IntArray, state: Any, rows: Sequence[int] = LAST) -> FloatArray:
        filled, wanted = filled_prompt(torch.from_numpy(tokens), rows, self.config)
        length = filled.shape[1]
        logits = [
            self._run("prefill", row_state, length, tokens=row[None], rows=wanted)
            for row, row_state in zip(filled, state, strict=True)
        ]
        return self._on_host(logits)[:, : len(rows)]

    def decode_step(self, token: IntArray, position: IntArray, state: Any) -> FloatArray:
        steps = zip(torch.from_numpy(token), torch.from_numpy(position), state, strict=True)
        return self._on_host(
            [
                self._run("decode_step", row_state, token=own[None], position=place[None])
                for own, place, row_state in steps
            ]
        )

    def greedy(self, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int) -> None:
        """On the device where it applies all the rules itself: tokens and probabilities are all that it then reads."""
        step = self.step_by(rules)
        if step is None:
            greedy_on_host(self, picked, position, state, rules, limit=limit, end=end)
            return
        # A few sizes, for each is a program of its own; what is missing to one are copies of the first row.
        missing = rows_together(len(picked)) - len(picked)
        rows, states = [*picked, *[picked[0]] * missing], [*state, *[state[0]] * missing]
        loaded = self.program(step, len(rows))
        kept = states[0] if len(rows) == 1 else self._joined(states)
        held = {**kept, **self._arguments(loaded, **step_arguments(rows, position, rules))}
        while any(row.goes_on(limit, end) for row in picked):
            for row, pick in zip(picked, self._read_picks(loaded(*_in_order(loaded, held))), strict=False):
                if row.goes_on(limit, end):
                    row.take(*pick)
        if len(rows) > 1:
            # Whoever goes on from here has a state for each row.
            for name in kept.keys() & written_in_place(loaded.program):
                for row_state, tensor in zip(state, self.device.parted(kept[name]), strict=False):
                    row_state[name] = tensor

    def _joined(self, states: Sequence[_State]) -> _State:
        return {name: self.device.joined([state[name] for state in states]) for name in states[0]}

    def step_by(self, rules: Rules) -> str | None:
        """The program that picks tokens as ``rules`` say; None where only the host can."""
        if not rules.only_suppress(self.suppress):
            return None
        if rules.timestamps is None:
            return "greedy_step"
        ids, grammar = timestamp_ids(self.config.vocab_size), rules.timestamps
        asked = TimestampIds(grammar.begin, grammar.end_of_text, grammar.no_timestamps)
        return "timed_step" if asked == ids else None

    def _read_picks(self, outputs: Sequence[Any]) -> list[tuple[int, float]]:
        """Token and log probability of each row, from what a greedy step gives."""
        tokens = self.device.to_host(outputs[0], torch.int64)
        # A card gives it in bfloat16, where a sure token's is 1 exactly: its logarithm is zero.
        probabilities = self.device.to_host(outputs[1], torch.float32)
        return list(zip(tokens.tolist(), probabilities.log().tolist(), strict=True))

    def reorder(self, state: Any, rows: Sequence[int]) -> Any:
        require_batch(len(rows), self.max_batch)
        # Where a row has several successors, what a step writes needs memory of each one's own.
        copied = [{name: self.device.copy(tensor) for name, tensor in state[row].items()} for row in rows[1:]]
        return [state[rows[0]], *copied] if len({*rows}) < len(rows) else [state[row] for row in rows]

    def close(self) -> None:
        self._closed = True
        self._compiled.clear()
        self._loaded.clear()

    def _on_host(self, rows: Sequence[tuple[Any, ...]]) -> FloatArray:
        """Logits that a program gave for each row."""
        return on_host(whole_logits(torch.cat([self.device.to_host(parts, torch.float32) for (parts,) in rows])))

    def _run(self, name: str, state: _State, length: int | None = None, **arguments: Tensor) -> tuple[Any, ...]:
        loaded = self.program(name, length)
        return loaded(*_in_order(loaded, {**state, **self._arguments(loaded, **arguments)}))

    def _arguments(self, loaded: LoadedProgram, **arguments: Tensor) -> _State:
        """Host tensors as the program's inputs of these names."""
        specs = {value.name: _spec(value.spec) for value in loaded.program.inputs_of(Role.ARGUMENT)}
        return {name: self.device.to_device(tensor, specs[name]) for name, tensor in arguments.items()}


def step_arguments(picked: Sequence[Picks], position: int, rules: Rules) -> dict[str, Tensor]:
    """What a step that picks by ``rules`` goes on from, of each row: its last token, and what its grammar must know."""
    tokens = torch.tensor([row.tokens[-1] for row in picked])
    arguments = {"token": tokens, "position": torch.full(tokens.shape, position)}
    if rules.timestamps is None:
        return arguments
    earliest, opens, closes = zip(*(rules.timestamps.standing(row.tokens) for row in picked), strict=True)
    return {
        **arguments,
        "earliest": torch.tensor(earliest),
        "opens": torch.tensor(opens),
        "closes": torch.tensor(closes),
    }


def _in_order(loaded: LoadedProgram, tensors: Mapping[str, Any]) -> list[Any]:
    return [tensors[value.name] for value in loaded.program.inputs]


def _state_of(loaded: LoadedProgram) -> Sequence[Any]:
    return loaded.program.inputs_of(Role.STATE)


def _spec(spec: Any) -> TensorSpec:
    assert isinstance(spec, TensorSpec)
    return spec
