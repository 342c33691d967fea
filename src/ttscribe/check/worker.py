"""The process in which a check runs: ``python -m ttscribe.check.worker FOLDER COUNT BOARD``, on a mock board.

FOLDER has ``N.program.json`` and ``N.keys.json`` for each program, and ``skip.json``. Before each call the program and
the step are noted in ``place``, so that whoever started the process knows which call ended it. The last thing written
is ``report.json``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ttscribe.check.findings import AT_LOAD, Finding, Kind, ProgramCheck
from ttscribe.compiler.memory import prepared_on_host
from ttscribe.compiler.operations import FREES
from ttscribe.compiler.program import (
    DRAM,
    SHARDED_AS_MADE,
    HostSegment,
    HostSpec,
    Memory,
    Op,
    Program,
    TensorSpec,
    Value,
)
from ttscribe.compiler.serialise import from_json
from ttscribe.compiler.text import call_text, describe
from ttscribe.devices.ttnn.calls import Calls, NotWritten
from ttscribe.devices.ttnn.device import TtnnDevice
from ttscribe.devices.ttnn.loaded import complaint


class Worker:
    """Checks programs one after another on one mock device; tensors of equal keys are held once."""

    def __init__(self, device: TtnnDevice, folder: Path, skipped: set[tuple[int, int]]) -> None:
        self.device, self.ttnn, self.folder, self.skipped = device, device.library, folder, skipped
        self.held: dict[str, Any] = {}
        self.findings: list[Finding] = []
        self._place = (folder / "place").open("w", buffering=1)

    def check(self, index: int, program: Program, keys: Mapping[str, str]) -> ProgramCheck:
        """Check the program of that ``index``; ``keys`` name its constants, by their names in it."""
        started, dram = time.perf_counter(), self._allocated("DRAM")
        calls = Calls(self.ttnn, self.device.handle)
        known = len(self.findings)
        self._refuse_host_segments(program)
        self._place.write(f"{index} {AT_LOAD}\n")
        loaded = None if (index, AT_LOAD) in self.skipped else self._load(program, keys, calls)
        held = self._allocated("DRAM")
        # What the program before has left in it would neither be created nor counted again.
        self.device.handle.clear_program_cache()
        operations: dict[str, int] = {}
        peak: tuple[int, str] | None = None
        if loaded is not None:
            with self._capture(dispatch=True) as trace:
                self._run(index, program, calls, dict(loaded))
            operations = dict(Counter(_device_operations(trace)))
            cached = self.device.handle.num_program_cache_entries()
            accepted = len(self.findings) == known and not any(at == index for at, _ in self.skipped)
            peak = self._peak(index, program, calls, loaded) if accepted else None
        else:
            cached = 0
        return ProgramCheck(
            program.name,
            sum(op.target != FREES for op in program.ops),
            operations,
            len(program.host_segments),
            held - dram,
            held,
            peak[0] if peak else None,
            peak[1] if peak else None,
            cached,
            round(time.perf_counter() - started, 2),
        )

    def offered(self, buffer: str) -> int:
        """Bytes of DRAM in all, or of L1 a core."""
        view = self._view(buffer)
        # Each core's L1 is a bank of its own.
        return int(view.total_bytes_per_bank * (view.num_banks if buffer == "DRAM" else 1))

    def _view(self, buffer: str) -> Any:
        return self.ttnn.get_memory_view(self.device.handle, getattr(self.ttnn.BufferType, buffer))

    def _allocated(self, buffer: str) -> int:
        view = self._view(buffer)
        return int(view.total_bytes_allocated_per_bank * view.num_banks)

    def _refuse_host_segments(self, program: Program) -> None:
        for step, segment in enumerate(program.body):
            if isinstance(segment, HostSegment):
                for fallback in segment.fallbacks:
                    why = (
                        f"stays in PyTorch ({fallback.reason.value}), so no trace can be captured: {fallback.sentence}"
                    )
                    self.findings.append(Finding(program.name, step, Kind.HOST_SEGMENT, fallback.target, why))

    def _load(self, program: Program, keys: Mapping[str, str], calls: Calls) -> dict[str, Any] | None:
        """Constants, inputs and state by name; None where they do not fit."""
        convolved = prepared_on_host(program)
        values: dict[str, Any] = {}
        named = [(constant.value, keys[constant.value.name]) for constant in program.constants]
        named += [(value, f"input {value.name} {value.spec}") for value in program.inputs]
        for value, key in named:
            if isinstance(value.spec, HostSpec):
                values[value.name] = _host_value(value.spec)
                continue
            try:
                if key not in self.held:
                    self.held[key] = self._make(value.spec, calls, on_host=value.name in convolved)
            except RuntimeError as error:
                call = f"{value.name}: {describe(value.spec)}"
                self.findings.append(Finding(program.name, AT_LOAD, Kind.NOT_LOADED, call, complaint(error)))
                return None
            values[value.name] = self.held[key]
        read = {name for step in program.body for name in step.inputs}
        on_host = (*program.params, *(op.output for op in program.setup))
        values.update({value.name: _host_value(value.spec) for value in on_host if value.name in read})
        return values

    def _make(self, spec: TensorSpec, calls: Calls, *, on_host: bool) -> Any:
        if on_host:
            return self.ttnn.from_torch(torch.zeros(spec.shape), dtype=calls.argument(spec.dtype))
        return calls.empty(spec)

    def _run(self, index: int, program: Program, calls: Calls, values: dict[str, Any]) -> None:
        for step, called in enumerate(program.body):
            if isinstance(called, HostSegment):
                values.update({value.name: _host_value(value.spec) for value in called.outputs})
                continue
            self._place.write(f"{index} {step}\n")
            try:
                skip = (index, step) in self.skipped
                results = None if skip else calls.run(called, values)
            except (RuntimeError, TypeError, AttributeError) as error:
                # TypeError is of TT-NN's Python bindings: no overload takes these arguments. AttributeError: TT-NN has
                # no function, and no constant, of that name.
                kind = Kind.NOT_WRITTEN if isinstance(error, NotWritten) else Kind.REFUSED
                self._find(program, step, called, kind, complaint(error))
                results = None
            if results is None:
                results = tuple(self._stand_in(calls, value) for value in called.outputs)
            else:
                self._compare(program, step, called, results)
            values.update({value.name: result for value, result in zip(called.outputs, results, strict=True)})

    def _stand_in(self, calls: Calls, value: Value) -> Any:
        """What a refused call would have given, so that the calls after it can be checked too."""
        if isinstance(value.spec, HostSpec):
            return _host_value(value.spec)
        spec = value.spec
        # Only the refused call knows its shards.
        if spec.memory == SHARDED_AS_MADE:
            spec = TensorSpec(spec.shape, spec.dtype, spec.layout, DRAM)
        try:
            return calls.empty(spec)
        except RuntimeError:
            return calls.empty(TensorSpec(spec.shape, spec.dtype, spec.layout, DRAM))

    def _compare(self, program: Program, step: int, op: Op, results: tuple[Any, ...]) -> None:
        for value, result in zip(op.outputs, results, strict=True):
            if isinstance(value.spec, TensorSpec) and (actual := _described(result, value.spec)) != value.spec:
                message = f"the program declares {describe(value.spec)}, TT-NN gives {describe(actual)}"
                self._find(program, step, op, Kind.DIFFERS, message)

    def _find(self, program: Program, step: int, op: Op, kind: Kind, message: str) -> None:
        self.findings.append(Finding(program.name, step, kind, call_text(program, op), message))

    def _peak(self, index: int, program: Program, calls: Calls, loaded: dict[str, Any]) -> tuple[int, str]:
        """Peak L1 bytes of a core, and the call that reaches it first.

        Only a capture without dispatch records the buffers of every operation; a program from the cache records none.
        """
        self.device.handle.clear_program_cache()
        with self._capture(dispatch=False) as trace:
            self._run(index, program, calls, dict(loaded))
        # Not extract_peak_L1_memory_usage, which adds a tensor's bytes on all cores to the buffers of one.
        usage = self.ttnn.graph.extract_resource_usage_per_core
        peak = usage(trace).peak_total
        # The peak of a longer run is no lower, so that the first call to reach it is found by halving.
        low, high = 1, len(trace)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if usage(trace[:middle]).peak_total >= peak else (middle + 1, high)
        started = [node for node in trace[:low] if node["node_type"] == "function_start"]
        operation = next(node for node in reversed(started) if node["stacking_level"] == 1)
        return int(peak), str(operation["params"]["name"])

    @contextmanager
    def _capture(self, *, dispatch: bool) -> Iterator[list[Any]]:
        """A graph capture; what it saw is in the list when the block has ended."""
        # NORMAL goes through the real allocators and raises where memory runs out; NO_DISPATCH allocates nothing.
        mode = self.ttnn.graph.RunMode.NORMAL if dispatch else self.ttnn.graph.RunMode.NO_DISPATCH
        trace: list[Any] = []
        self.ttnn.graph.begin_graph_capture(mode)
        try:
            yield trace
        finally:
            trace += self.ttnn.graph.end_graph_capture()


def _device_operations(trace: list[Any]) -> Iterator[str]:
    """What would be dispatched, by name, in order."""
    for node in trace:
        # ttnn.linear is a node too, and what it launches, MatmulDeviceOperation, another within it.
        name = node["params"]["name"] if node["node_type"] == "function_start" else ""
        if name.endswith("Operation"):
            yield name.removesuffix("Operation").removesuffix("Device")


def _described(tensor: Any, declared: TensorSpec) -> TensorSpec:
    """What TT-NN gave, as a spec; of sharding, what the declaration says of it."""
    dtype, layout = (type(item)(str(found).rpartition(".")[2].lower()) for item, found in _kinds(tensor, declared))
    memory_config = tensor.memory_config()
    buffer = str(memory_config.buffer_type).rpartition(".")[2].lower()
    memory = Memory(buffer)
    if tensor.is_sharded():
        # TensorMemoryLayout.HEIGHT_SHARDED is our "height".
        strategy = str(memory_config.memory_layout).rpartition(".")[2].removesuffix("_SHARDED").lower()
        spec, sharding = memory_config.shard_spec, declared.memory.sharding
        if declared.memory == SHARDED_AS_MADE:
            memory = SHARDED_AS_MADE
        elif sharding is not None:
            cores = spec.grid.num_cores()
            memory = Memory(buffer, type(sharding)(strategy, tuple(spec.shape), cores))
    return TensorSpec(tuple(tensor.shape), dtype, layout, memory)


def _kinds(tensor: Any, declared: TensorSpec) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    # "tile" and "row_major", "bfloat16": TT-NN's names for layouts and element types are ours in capitals.
    return (declared.dtype, tensor.dtype), (declared.layout, tensor.layout)


def _host_value(spec: Any) -> Any:
    """Zeros in place of what PyTorch would compute; a mock board has no values either."""
    kind = getattr(torch, spec.dtype, None)
    # What is no tensor (a number, several results, nothing) is read by PyTorch alone.
    if spec.dtype in ("int", "float", "bool") or not isinstance(kind, torch.dtype):
        return 0
    shape = [size if isinstance(size, int) else 1 for size in spec.shape]
    return torch.zeros(shape, dtype=kind)


def main() -> None:
    """Check what FOLDER holds."""
    folder, count, board_name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    skipped = {tuple(place) for place in json.loads((folder / "skip.json").read_text())}
    with TtnnDevice(board_name) as device:
        worker = Worker(device, folder, skipped)
        checks = []
        for index in range(count):
            program = from_json((folder / f"{index}.program.json").read_text())
            checks.append(worker.check(index, program, json.loads((folder / f"{index}.keys.json").read_text())))
        report = {
            "dram": worker.offered("DRAM"),
            "l1": worker.offered("L1"),
            "programs": [asdict(check) for check in checks],
            "findings": [asdict(finding) for finding in worker.findings],
        }
        (folder / "report.json").write_text(json.dumps(report))
        sys.stdout.flush()
        # The report is written; what TT-NN does while it shuts a mock board down is of no interest.
        os._exit(0)


if __name__ == "__main__":
    main()
