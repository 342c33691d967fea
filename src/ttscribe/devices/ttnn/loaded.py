"""A program with its weights on a TT-NN device."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ttscribe.compiler import host
from ttscribe.compiler.program import HostSegment, Op, Program
from ttscribe.devices.ttnn.calls import Calls
from ttscribe.errors import CallRefused


class TtnnProgram:
    """Call it with the program's inputs, in order; it gives the outputs, in order.

    Host inputs and outputs are torch tensors and numbers, those on the device TT-NN's. ``held`` has the constants, on
    the device, and the host values that host segments read. ``ledger`` counts every operation that has run, by target,
    on the device and on the host.
    """

    def __init__(self, program: Program, calls: Calls, held: Mapping[str, Any]) -> None:
        self.program, self.calls = program, calls
        self.ledger: Counter[str] = Counter()
        self.held: Mapping[str, Any] = dict(held)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Run once; raises CallRefused, naming the step, where TT-NN refuses it."""
        declared = self.program.inputs
        if len(inputs) != len(declared):
            raise CallRefused(f"{self.program.name} takes {len(declared)} inputs, not {len(inputs)}")
        values = {**self.held, **{value.name: given for value, given in zip(declared, inputs, strict=True)}}
        for index in range(len(self.program.body)):
            self.run_step(index, values)
        for name, changed in self.program.mutations:
            values[name].copy_(values[changed])
        return tuple(values[name] for name in self.program.outputs)

    def run_step(self, index: int, values: dict[str, Any]) -> None:
        """Run one step of the body on ``values`` by name; raises CallRefused, naming it."""
        step = self.program.body[index]
        if isinstance(step, HostSegment):
            self._run_host(step, values)
        else:
            self._run(index, step, values)

    def _run(self, index: int, op: Op, values: dict[str, Any]) -> None:
        try:
            results = self.calls.run(op, values)
        except RuntimeError as error:
            place = f"{self.program.name}: step {index} ({op.target})"
            raise CallRefused(f"{place}: {complaint(error)}") from error
        values.update({value.name: result for value, result in zip(op.outputs, results, strict=True)})
        self.ledger[op.target] += 1

    def _run_host(self, segment: HostSegment, values: dict[str, Any]) -> None:
        for op in segment.ops:
            values[op.output.name] = host.run(op, values)
            self.ledger[op.target] += 1


def complaint(error: BaseException) -> str:
    """What TT-NN says, without the place in its sources before it and the stack after it."""
    # It writes "TT_FATAL @ FILE:LINE: CONDITION", "info:", a message of some lines, "backtrace:" and the stack.
    text = re.split("backtrace:|Called with:", str(error))[0]
    lines = [line.strip() for line in text.splitlines() if line.strip() and line.strip() != "info:"]
    if lines and " @ " in lines[0]:
        condition = lines[0].partition(": ")[2]
        return " ".join([*lines[1:], f"({condition})"] if lines[1:] else [condition])
    return " ".join(lines)
