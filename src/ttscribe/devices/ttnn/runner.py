"""Whisper on a Tenstorrent card: state at fixed addresses, encoder and decode steps replayed as traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ttscribe.compiler.boards import Board
from ttscribe.compiler.program import TILE_SIZE, Role, TensorSpec, Value
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.vocabulary import whole_logits
from ttscribe.compiler.whisper_programs import filled_prompt
from ttscribe.decoding import LAST, Picks, Rules, greedy_on_host
from ttscribe.devices.cpu import kernels
from ttscribe.devices.cpu.features import log_power
from ttscribe.devices.programs import LoadedProgram, ProgramKey, ProgramRunner, step_arguments
from ttscribe.devices.rows import require_batch, rows_together
from ttscribe.devices.torch_runner import on_host
from ttscribe.devices.ttnn.device import TtnnDevice, command_queues
from ttscribe.devices.ttnn.simulator import slow_dispatch
from ttscribe.devices.ttnn.traces import Queues, Trace, Untraced
from ttscribe.errors import OptionError, StateGone
from ttscribe.types import Features, FloatArray, IntArray
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import WhisperModel

_STEPS = ("decode_step", "greedy_step", "timed_step")
_TRACED = ("encode", "cross_kv", "prefill", *_STEPS)


@dataclass(frozen=True)
class _Generation:
    """Stands for encoder states or a decoder state: on a card there is one of each, that of the latest generation.

    ``windows`` is how many there are in it.
    """

    number: int
    windows: int


class TtnnRunner(ProgramRunner):
    """Runs a Whisper model on a card. A chip encodes window after window and reads its prompt, and then steps for all.

    Encoder states, caches, and every program's inputs are allocated once; a trace reads and writes them where they
    are. So one decoding is alive at a time: a new window's ``encode`` overwrites the last one's states, a new ``start``
    its caches, and what is used after that raises StateGone.

    Where there are more windows than chips, a step takes several on each chip: their encoder states are kept one by
    one, and as each one's prompt is read, its caches are copied to its row of the step's. Chips do not speak with each
    other; several go on together, and window w is in row w // chips of chip w % chips. Rows without a window
    are given zeros, and nothing of theirs is read.
    """

    device: TtnnDevice
    max_decodings: int | None = 1

    def __init__(
        self, model: WhisperModel, device: TtnnDevice, settings: CompileSettings, suppress: Sequence[int] = ()
    ) -> None:
        super().__init__(model, device, settings, suppress)
        # Before the card's first token its host does nothing else.
        self.log_power = log_power if kernels.why_not() is None else None
        self.max_batch = device.chips * most_windows(model.config, device.board)
        self._queues = Queues(device.library, device.handle, command_queues(device.board))
        self._tensors: dict[tuple[ProgramKey | int, str], Any] = {}
        # Encoder states of each group of windows, one a chip; and how many rows a step of several groups takes.
        self._kept: list[Any] = []
        self._size = 1
        self._traces: dict[ProgramKey, Trace | Untraced] = {}
        self._encoded = self._started_last = _Generation(0, 0)

    def program(self, name: str, size: int | None = None) -> LoadedProgram:
        """The loaded program. What lasts may only be allocated while no trace is recorded, so loading ends them all."""
        key = self._key(name, size)
        if key not in self._loaded:
            self._release()
            for value in super().program(name, size).program.inputs:
                of = _input(key, value)
                if of not in self._tensors and isinstance(value.spec, TensorSpec):
                    self._tensors[of] = self.device.zeros(value.spec)
        return super().program(name, size)

    def encode(self, mel: Features) -> _Generation:
        require_batch(len(mel), self.max_batch)
        groups = torch.split(torch.from_numpy(mel).transpose(1, 2), self.device.chips)
        if len(groups) > 1:
            self._make_room(len(groups))
        for at, group in enumerate(groups):
            self._run_trace("encode", mel=group)
            if len(groups) > 1:
                self.device.overwrite(self._kept[at], self._handed_over)
        self._encoded = _Generation(self._encoded.number + 1, len(mel))
        return self._encoded

    def _make_room(self, groups: int) -> None:
        """For encoder states of so many windows a chip, and for steps that take as many."""
        if rows_together(groups) > self._size:
            self._release()
            if self._size > 1:
                smaller = {self._key(name, self._size) for name in _STEPS}
                self._loaded = {key: loaded for key, loaded in self._loaded.items() if key not in smaller}
                gone = {self._size, *smaller}
                self._tensors = {of: tensor for of, tensor in self._tensors.items() if of[0] not in gone}
            self._size = rows_together(groups)
        # Now: later, to record their traces would be to write into caches.
        for name in _STEPS:
            self.program(name, self._size)
        missing = groups - len(self._kept)
        if missing > 0:
            self._release()
            spec = self._handover.spec
            assert isinstance(spec, TensorSpec)
            self._kept += [self.device.zeros(spec) for _ in range(missing)]

    @property
    def _handover(self) -> Value:
        """The input by which cross_kv reads what encode gives."""
        (value,) = self.program("cross_kv").program.inputs_of(Role.HANDED_OVER)
        return value

    @property
    def _handed_over(self) -> Any:
        """What encode gave last."""
        return self._tensors[_input(self._key("cross_kv"), self._handover)]

    def encoder_states(self, encoded: _Generation) -> FloatArray:
        _require(encoded, self._encoded, "encoder states")
        groups = self._groups(encoded)
        held = [self._handed_over] if groups == 1 else self._kept[:groups]
        return on_host(torch.cat([self.device.to_host(states, torch.float32) for states in held])[: encoded.windows])

    def start(self, encoder_states: _Generation) -> _Generation:
        _require(encoder_states, self._encoded, "encoder states")
        if self._groups(encoder_states) == 1:
            self._run_trace("cross_kv")
        self._started_last = _Generation(self._started_last.number + 1, encoder_states.windows)
        return self._started_last

    def _groups(self, generation: _Generation) -> int:
        """How many windows there are on a chip, where it has the most."""
        return ceil(generation.windows / self.device.chips)

    def prefill(self, tokens: IntArray, state: _Generation, rows: Sequence[int] = LAST) -> FloatArray:
        _require(state, self._started_last, "decoder state")
        filled, wanted = filled_prompt(torch.from_numpy(tokens), rows, self.config)
        groups = torch.split(filled, self.device.chips)
        # To record is to run everything, which leaves another window's states.
        self._trace(self._key("prefill", filled.shape[1]))
        logits = []
        for at, group in enumerate(groups):
            if len(groups) > 1:
                self.device.overwrite(self._handed_over, self._kept[at])
                self._run_trace("cross_kv")
            # Each chip is given the rows along the same dimension as its prompt.
            outputs = self._run_trace("prefill", filled.shape[1], tokens=group, rows=wanted.repeat(self.device.chips))
            logits.append(self._logits(outputs)[: len(group), : len(rows)])
            if len(groups) > 1:
                self._put_by(at)
        return on_host(torch.cat(logits))

    def _put_by(self, row: int) -> None:
        """Copy the caches of the windows whose prompt was read last to their row of a step's."""
        for value in self.program("prefill").program.inputs_of(Role.STATE):
            self.device.put(self._tensors[self._size, value.name], self._tensors[1, value.name], row)

    def decode_step(self, token: IntArray, position: IntArray, state: _Generation) -> FloatArray:
        _require(state, self._started_last, "decoder state")
        places, size = self._places(state)
        given = self._placed(places, size, token=torch.from_numpy(token), position=torch.from_numpy(position))
        return on_host(self._logits(self._run_trace("decode_step", size, **given))[places])

    def _places(self, state: _Generation) -> tuple[list[int], int]:
        """In which row of all chips', one after another, each window is; and how many rows a step takes on a chip."""
        chips, size = self.device.chips, 1 if self._groups(state) == 1 else self._size
        return [window % chips * size + window // chips for window in range(state.windows)], size

    def _placed(self, places: Sequence[int], size: int, **arguments: Tensor) -> dict[str, Tensor]:
        """Arguments of a step, those of each window in its place."""
        rows = self.device.chips * size
        return {
            name: tensor.new_zeros(rows).index_copy(0, torch.tensor(places), tensor)
            for name, tensor in arguments.items()
        }

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
        places, size = self._places(state)
        key = self._key(step, size)
        self._write(key, self._placed(places, size, **step_arguments(picked, position, rules)))
        ahead = self._queues.read(self._replay(key))
        while any(row.goes_on(limit, end) for row in picked):
            reading = ahead
            # The card goes on before the host knows the token: it needs to be told nothing. What it picks after the end
            # is thrown away; beyond the limit there might be no room in its cache.
            if any(row.goes_on(limit - 1, end) for row in picked):
                ahead = self._queues.read(self._replay(key))
            picks = self._read_picks(reading())
            # Rows go on together; what one gives after its window's end is thrown away too.
            for row, place in zip(picked, places, strict=True):
                if row.goes_on(limit, end):
                    row.take(*picks[place])
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

    def _run_trace(self, name: str, size: int | None = None, **arguments: Tensor) -> tuple[Any, ...]:
        """What a program gives of these arguments; the host does not wait for it."""
        self._write(self._key(name, size), arguments)
        return self._replay(self._key(name, size))

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

    def _logits(self, outputs: Sequence[Any]) -> Tensor:
        (parts,) = outputs
        return whole_logits(self.device.to_host(parts, torch.float32))

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
        (self._tensors[_input(self._key("cross_kv"), self._handover)],) = encoded.outputs

    def _release(self) -> None:
        for trace in self._traces.values():
            trace.release()
        self._traces.clear()


def most_windows(config: WhisperConfig, board: Board) -> int:
    """How many windows a chip of the board steps together: as many as have room in half of its memory, 32 at most.

    The other half is for weights and what is computed: of the largest model in bfloat16 a quarter of an n150's.
    """
    positions = TILE_SIZE * ceil(config.max_source_positions / TILE_SIZE)
    caches = 2 * config.decoder_layers * (positions + config.max_target_positions) * config.d_model
    window = 2 * (caches + positions * config.d_model)  # bytes, of two each
    return min(TILE_SIZE, 1 << max(1, board.dram // 2 // window).bit_length() - 1)


def _input(key: ProgramKey, value: Value) -> tuple[ProgramKey | int, str]:
    """What tells an input's tensor: the state's are those of every program for as many rows; others a program's own."""
    name, size = key
    return ((size if name in _STEPS and size else 1) if value.role is Role.STATE else key, value.name)


def _require(state: _Generation, latest: _Generation, what: str) -> None:
    if state != latest:
        raise StateGone(f"{what}: gone; this card holds 1 decoding at a time, and another has begun since")
