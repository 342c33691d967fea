"""The two sides of a comparison: a program on a device, step by step, or the graph that it was captured from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, fx

from ttscribe.compiler.compilation import Compiled
from ttscribe.compiler.memory import last_uses
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import L1, SHARDED_AS_MADE, HostSpec, Op, Spec, TensorSpec, Value
from ttscribe.devices.programs import LoadedProgram, ProgramDevice


class Side(Protocol):
    """Something that goes through a program step by step, and tells what it has of the values in between."""

    def step(self, index: int) -> float | None:
        """Do one step; the seconds that it took, None where they are not known."""

    def let_go(self, index: int) -> None:
        """Drop what nothing needs after a step."""

    def read(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of the values that are known now, on the host: floats as float32, whole numbers as int64."""


class DeviceSide:
    """A loaded program and values by name, the device's own but for those that it was given."""

    def __init__(self, device: ProgramDevice, loaded: LoadedProgram) -> None:
        self.device, self.loaded = device, loaded
        self.specs = loaded.program.specs()
        self._values: dict[str, Any] = dict(loaded.held)
        self._last_uses = last_uses(loaded.program)
        # What is written in place is an input, and read when all is done.
        self._lasting = {*loaded.held, *(value.name for value in loaded.program.inputs)}

    def give(self, values: Mapping[str, Any]) -> None:
        """Put host values where the program expects them."""
        self._values |= {name: self._placed(value, self.specs[name]) for name, value in values.items()}

    def only(self, values: Mapping[str, Any]) -> None:
        """Forget all values but those that loading made, then ``give``."""
        self._values = dict(self.loaded.held)
        self.give(values)

    def step(self, index: int) -> float:
        """Do one step and wait for its end: seconds.

        Raises CallRefused or EmulationError.
        """
        self.device.synchronize()
        started = time.perf_counter()
        self.loaded.run_step(index, self._values)
        self.device.synchronize()
        return time.perf_counter() - started

    def let_go(self, index: int) -> None:
        for name in self._last_uses[index]:
            if name not in self._lasting:
                self._values.pop(name, None)

    def read(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self._on_host(self._values[name], self.specs[name]) for name in names if name in self._values}

    def _placed(self, value: Any, spec: Spec) -> Any:
        return value if isinstance(spec, HostSpec) else self.device.to_device(value, placeable(spec))

    def _on_host(self, value: Any, spec: Spec) -> Any:
        if isinstance(spec, HostSpec):
            return value.clone() if isinstance(value, Tensor) else value
        return self.device.to_host(value, torch.float32 if spec.dtype.floating else torch.int64)


def placeable(spec: TensorSpec) -> TensorSpec:
    """A form in which a tensor can be given from the host.

    One that is cut over cores as an operation made it is given whole, in L1: nobody outside knows how it is cut.
    """
    return replace(spec, memory=L1) if spec.memory == SHARDED_AS_MADE else spec


class GraphSide:
    """The captured graph in PyTorch, in the dtype of the weights: it knows those values of a program that can be traced
    to a node of the graph by the call's sources, and by shape but for dimensions of 1.

    Inputs that a program writes in place are known before the first call that writes them and after the last one.
    """

    def __init__(self, compiled: Compiled, inputs: Mapping[str, Any]) -> None:
        self._specs, self._captured = compiled.program.specs(), compiled.captured
        self._nodes = _run(compiled, inputs)
        self._traced = traced(compiled)
        self._known: dict[str, Any] = dict(inputs)
        self._body = compiled.program.body
        self._last_written = {
            name: index
            for index, step in enumerate(self._body)
            if isinstance(step, Op)
            for name in OPERATIONS[step.target].written(step)
        }

    def step(self, index: int) -> None:
        """Pass one step: what it makes is known from here on."""
        step = self._body[index]
        if not isinstance(step, Op):
            self._known |= {name: self._nodes[name] for name in step.results if name in self._nodes}
            return
        self._known |= {name: self._nodes[self._traced[name]] for name in step.results if name in self._traced}
        for name in OPERATIONS[step.target].written(step):
            self._known.pop(name, None)
            node = self._captured.mutations.get(name)
            if self._last_written[name] == index and node is not None:
                self._known[name] = self._nodes[node.name]

    def let_go(self, index: int) -> None:
        """Nothing is let go: a value may be asked for by whoever was slower."""

    def read(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self._shaped(self._known[name], self._specs[name]) for name in names if name in self._known}

    def _shaped(self, value: Any, spec: Spec) -> Any:
        if isinstance(spec, HostSpec):
            return value
        return value.reshape(spec.shape).to(torch.float32 if spec.dtype.floating else torch.int64)


def _run(compiled: Compiled, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The value of every node by name."""
    captured = compiled.captured
    values: dict[str, Any] = {}
    with torch.no_grad():
        for node in captured.graph.nodes:
            if node.op in ("placeholder", "get_attr"):
                values[node.name] = inputs[node.name] if node.name in inputs else captured.params[node.name]
            elif node.op == "call_function":
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda argument: values[argument.name])
                values[node.name] = node.target(*args, **kwargs)
    return values


_CONVERSIONS = ("ttnn.typecast", "ttnn.to_layout")


def traced(compiled: Compiled) -> dict[str, str]:
    """Names of the program's values, and of the nodes of the captured graph that have the same elements in order."""
    program, nodes = compiled.program, list(compiled.captured.graph.nodes)
    order = {node.name: at for at, node in enumerate(nodes)}
    shapes = {node.name: _shape(node.meta.get("val")) for node in nodes}
    last = {source: index for index, op in enumerate(program.body) if isinstance(op, Op) for source in op.source}
    found = {}
    calls = [(index, op) for index, op in enumerate(program.body) if isinstance(op, Op)]
    for index, op in calls:
        for value in op.outputs:
            node = _node_of(op, value, order)
            # A conversion that bears a node's name prepares what the node's own call takes.
            named = node in op.results and op.target not in _CONVERSIONS
            ends = named or (node is not None and last[node] == index)
            if node is not None and ends and shapes[node] == _without_ones(value.spec.shape):
                found[value.name] = node
    return found | _traced_outputs(compiled)


def _traced_outputs(compiled: Compiled) -> dict[str, str]:
    captured, program = compiled.captured, compiled.program
    returned = [item for item in captured.outputs if item is not None or not captured.on_device]
    pairs = zip(program.outputs, returned, strict=True)
    made = {name for step in program.body for name in step.results}
    return {name: node.name for name, node in pairs if isinstance(node, fx.Node) and name in made}


def _node_of(op: Op, value: Value, order: Mapping[str, int]) -> str | None:
    """The node that a call's result is: of several results the one of its name, else the last that the call is of."""
    sources = [name for name in op.source if name in order]
    if len(op.outputs) > 1:
        return value.name if value.name in sources else None
    return max(sources, key=order.__getitem__, default=None)


def _shape(described: Any) -> tuple[Any, ...] | None:
    return _without_ones(described.shape) if isinstance(described, Tensor) else None


def _without_ones(shape: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(size for size in shape if size != 1)
