"""One program on two sides, step by step: each step on the reference's inputs, and each side on its own values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ttscribe.compiler.compilation import Compiled
from ttscribe.compiler.operations import FREES, OPERATIONS
from ttscribe.compiler.program import Op, Program, Step
from ttscribe.devices.programs import ProgramDevice
from ttscribe.errors import CallRefused, EmulationError, OptionError
from ttscribe.lockstep.difference import Difference, difference, worst
from ttscribe.lockstep.findings import StepFound
from ttscribe.lockstep.sides import DeviceSide, GraphSide, Side

Watcher = Callable[[StepFound], object]


@dataclass
class OneCall:
    """A step, its inputs as the reference has them, and what it makes of them, on the host."""

    step: int
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any]


@dataclass
class Walk:
    """Goes through ``compiled`` on ``device``, beside ``reference``: another device, or None for PyTorch.

    ``watch`` is called with each step as it is found. Where the reference is PyTorch only traced values are compared.
    ``timed`` says of both whether their seconds are told.
    """

    compiled: Compiled
    device: ProgramDevice
    reference: ProgramDevice | None
    watch: Watcher = lambda _: None
    first: int = 0
    steps: int | None = None
    timed: tuple[bool, bool] = (True, True)
    found: list[StepFound] = field(default_factory=list)

    @property
    def program(self) -> Program:
        return self.compiled.program

    def run(self, inputs: Mapping[str, Any], tolerance: float) -> OneCall | None:
        """Compare; gives the call of the first step that is off by more than ``tolerance``, if its inputs are known.

        Raises OptionError where the program has no such steps.
        """
        body = self.program.body
        self._require_steps(len(body))
        self._begin(inputs)
        off = None
        for index in range(min(len(body), self.first + (self.steps or len(body)))):
            if index == self.first:
                self._hand_over(index)
            call = self._step(index, body[index])
            if call is not None and off is None and self.found[-1].is_off(tolerance):
                off = call
        return off

    def constants(self, index: int) -> dict[str, Any]:
        """What a step reads of what loading made, on the host."""
        return self._own.read(name for name in self.program.body[index].inputs if name in self._held)

    def outputs(self) -> dict[str, Difference]:
        """End to end: outputs of the program, and inputs that it has written, of those that are floating-point."""
        written = (name for op in self.program.ops for name in OPERATIONS[op.target].written(op))
        inputs = {value.name for value in self.program.inputs}
        names = [*self.program.outputs, *(name for name in dict.fromkeys(written) if name in inputs)]
        ours, theirs = self._own_values(names), self._theirs.read(names)
        known = [name for name in names if name in ours and name in theirs and _is_float(theirs[name])]
        return {name: difference(ours[name], theirs[name]) for name in known}

    def _require_steps(self, count: int) -> None:
        if not 0 <= self.first < count:
            raise OptionError(f"{self.program.name} has steps 0 to {count - 1}, and no step {self.first}")
        if self.steps is not None and self.steps < 1:
            raise OptionError(f"--steps {self.steps}: at least one step is compared")
        if self.first and self.reference is None:
            raise OptionError("PyTorch does not know the values of every step: --from is for other references")

    def _begin(self, inputs: Mapping[str, Any]) -> None:
        params = {name: tensor for name, tensor in self.compiled.params.items() if tensor is not None}
        loaded = self.device.load(self.program, params)
        self._held = set(loaded.held)
        self._alone, self._own = DeviceSide(self.device, loaded), DeviceSide(self.device, loaded)
        self._own_goes_on = True
        if self.reference is None:
            self._theirs: Side = GraphSide(self.compiled, inputs)
        else:
            theirs = DeviceSide(self.reference, self.reference.load(self.program, params))
            theirs.give(inputs)
            self._theirs = theirs

    def _hand_over(self, index: int) -> None:
        """The device's own values begin as the reference's."""
        needed = {name for step in self.program.body[index:] for name in step.inputs} | {*self.program.outputs}
        self._own.give(self._theirs.read(needed - self._held))

    def _step(self, index: int, step: Step) -> OneCall | None:
        """Do one step on both sides; the call, where it was compared on the reference's inputs."""
        if index < self.first:
            self._theirs.step(index)
            self._theirs.let_go(index)
            return None
        needed = [name for name in dict.fromkeys(step.inputs) if name not in self._held]
        inputs = self._theirs.read(needed)
        reference_seconds = self._theirs.step(index)
        results = _results(step)
        expected = self._theirs.read(results)
        known = isinstance(step, Op) and step.target != FREES and len(inputs) == len(needed)
        call = OneCall(index, inputs, expected) if known and len(expected) == len(results) else None
        alone, refused = self._run_alone(index, call, results)
        end_to_end, seconds, failed = self._run_own(index, results, expected)
        for side in (self._theirs, self._own):
            side.let_go(index)
        if step.target != FREES:
            ours, theirs = (
                taken if told else None for taken, told in zip((seconds, reference_seconds), self.timed, strict=True)
            )
            found = StepFound(index, step.target, results, alone, end_to_end, ours, theirs, refused or failed)
            self.found.append(found)
            self.watch(found)
        return call

    def _run_alone(
        self, index: int, call: OneCall | None, results: tuple[str, ...]
    ) -> tuple[Difference | None, str | None]:
        if call is None:
            return None, None
        try:
            self._alone.only(call.inputs)
            self._alone.step(index)
            return _compared(self._alone.read(results), call.expected), None
        except (CallRefused, EmulationError) as error:
            return None, str(error)

    def _run_own(
        self, index: int, results: tuple[str, ...], expected: Mapping[str, Any]
    ) -> tuple[Difference | None, float | None, str | None]:
        """After a call that the device refuses there are no values of its own to go on with."""
        if not self._own_goes_on:
            return None, None, None
        try:
            seconds = self._own.step(index)
            return _compared(self._own_values(results), expected), seconds, None
        except (CallRefused, EmulationError) as error:
            self._own_goes_on = False
            return None, None, str(error)

    def _own_values(self, names: Iterable[str]) -> dict[str, Any]:
        return self._own.read(names) if self._own_goes_on else {}


def _results(step: Step) -> tuple[str, ...]:
    """What a step makes, and what it writes in place."""
    if not isinstance(step, Op):
        return step.results
    return tuple(dict.fromkeys((*step.results, *OPERATIONS[step.target].written(step))))


def _compared(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Difference | None:
    both = [name for name in ours if isinstance(theirs.get(name), Tensor)]
    return worst(difference(ours[name], theirs[name]) for name in both)


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
