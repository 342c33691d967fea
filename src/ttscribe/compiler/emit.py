"""A program as a Python script that needs only ``ttnn`` and ``torch``: to debug on a card, or to hand on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ttscribe.compiler.memory import prepared_on_host
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.operations.arguments import Construct, source, ttnn_argument
from ttscribe.compiler.program import HostOp, HostSpec, Op, Program, Ref, TensorSpec
from ttscribe.errors import CompileError

_HEADER = '''"""{name}, as TT-NN calls. Written by ttscribe; needs ttnn and torch.

    python {file} [WEIGHTS.pt]

WEIGHTS.pt is a dictionary of the params below, as torch.save writes it; without it they are seeded random numbers.
"""

import sys

import torch
import ttnn

torch.manual_seed(0)
given = torch.load(sys.argv[1], weights_only=True, mmap=True) if len(sys.argv) > 1 else {{}}
device = ttnn.open_device(device_id=0, l1_small_size=16384)
grid = device.compute_with_storage_grid_size()


def param(name, shape, dtype):
    if name in given:
        return given[name]
    return torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)


def place(tensor, dtype, layout, memory):
    return ttnn.from_torch(tensor, dtype=dtype, layout=layout, device=device, memory_config=memory)

'''


def to_script(program: Program, file: str = "program.py") -> str:
    """The script; CompileError where the program has host segments, which only PyTorch could run."""
    if program.host_segments:
        raise CompileError(f"{program.name} has operations that stay on the host: only a whole program can be emitted")
    return _HEADER.format(name=program.name, file=file) + "\n".join(_Script(program).lines()) + "\n"


class Calls:
    """Calls as Python. ``objects`` are TT-NN's configurations and memories that they share, by the expression of each.

    A name for each object is chosen when it is first written: their definitions come before the calls.
    """

    def __init__(self) -> None:
        self.objects: dict[Construct, str] = {}
        self._kinds: Counter[str] = Counter()

    def definitions(self) -> Iterator[str]:
        """The lines that make the objects which were written so far."""
        yield from (f"{name} = {source(made)}" for made, name in self.objects.items())

    def placement(self, spec: TensorSpec) -> str:
        """Element type, layout and memory as arguments of the scripts' ``place``."""
        return ", ".join(map(self.expression, (spec.dtype, spec.layout, spec.memory)))

    def call(self, op: Op) -> str:
        """A call, tensors by their names in the program, and the assignment of what it gives."""
        positional, keywords = OPERATIONS[op.target].call(op)
        arguments = [
            *map(self.expression, positional),
            *(f"{name}={self.expression(item)}" for name, item in keywords.items()),
        ]
        if OPERATIONS[op.target].host_operands is not None:
            # What TT-NN prepares itself it must be told the device of.
            arguments.append("device=device")
        call = f"{op.target}({', '.join(arguments)})"
        return f"{', '.join(op.results)} = {call}" if op.outputs else call

    def expression(self, item: Any) -> str:
        """An argument as Python; an object of TT-NN's by the name that it gets here."""
        if isinstance(item, Ref):
            return item.name
        if isinstance(item, list):
            return f"[{', '.join(map(self.expression, item))}]"
        made = ttnn_argument(item)
        if not isinstance(made, Construct):
            return source(made)
        if made not in self.objects:
            kind = made.function.path.rpartition(".")[2]
            self._kinds[kind] += 1
            self.objects[made] = f"{kind.lower()}_{self._kinds[kind]}"
        return self.objects[made]


class _Script(Calls):
    """All calls of a program."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    def lines(self) -> Iterator[str]:
        program = self.program
        body = [f"    {self.call(op)}" for op in program.ops]
        constants = [*self._constants()]
        inputs = [f"{value.name} = {self._input(value.spec)}" for value in program.inputs]
        yield "\n# TT-NN's objects that calls share."
        yield from self.definitions()
        yield "\n# Params and what is made of them once, on the host."
        for value in program.params:
            assert isinstance(value.spec, HostSpec)
            yield f"{value.name} = param({value.name!r}, {list(value.spec.shape)}, torch.{value.spec.dtype})"
        yield from map(_host_op, program.setup)
        yield "\n# Constants on the device."
        yield from constants
        yield "\n# Inputs and state."
        yield from inputs
        yield f"\n\ndef {program.name}():"
        yield from body
        yield f"    return {', '.join(program.outputs) or 'None'}"
        yield f"\n\nif __name__ == '__main__':\n    {program.name}()\n    ttnn.close_device(device)"

    def _constants(self) -> Iterator[str]:
        on_host = prepared_on_host(self.program)
        for constant in self.program.constants:
            spec: Any = constant.value.spec
            if constant.value.name in on_host:
                made = f"ttnn.from_torch({constant.source}.float(), dtype={self.expression(spec.dtype)})"
            else:
                made = f"place({constant.source}, {self.placement(spec)})"
            yield f"{constant.value.name} = {made}"

    def _input(self, spec: Any) -> str:
        dtype = "torch.float32" if spec.dtype.floating else "torch.int32"
        return f"place(torch.zeros({list(spec.shape)}, dtype={dtype}), {self.placement(spec)})"


def _host_op(op: HostOp) -> str:
    arguments = [*map(_host_argument, op.args), *(f"{name}={_host_argument(item)}" for name, item in op.kwargs)]
    return f"{op.output.name} = torch.ops.{op.target}({', '.join(arguments)})"


def _host_argument(item: Any) -> str:
    if isinstance(item, Ref):
        return item.name
    if isinstance(item, tuple | list):
        return f"[{', '.join(map(_host_argument, item))}]"
    if isinstance(item, str) and item.startswith("dtype:"):
        return f"torch.{item.removeprefix('dtype:')}"
    if isinstance(item, str) and item.startswith("device:"):
        return repr(item.removeprefix("device:"))
    return repr(item)
