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


class _Script:
    """``objects`` are TT-NN's configurations and memories that the calls repeat, by the expression that makes each."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.objects: dict[Construct, str] = {}
        self._kinds: Counter[str] = Counter()

    def lines(self) -> Iterator[str]:
        program = self.program
        # Calls, constants and inputs first: they name the objects that are written before them.
        body = [f"    {self._call(op)}" for op in program.ops]
        constants = [*self._constants()]
        inputs = [f"{value.name} = {self._input(value.spec)}" for value in program.inputs]
        yield "\n# TT-NN's objects that calls share."
        yield from (f"{name} = {source(construct)}" for construct, name in self.objects.items())
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
                # Left on the host in rows, for conv1d prepares its weights itself.
                expression = f"ttnn.from_torch({constant.source}.float(), dtype={self._expression(spec.dtype)})"
            else:
                expression = f"place({constant.source}, {self._placement(spec)})"
            yield f"{constant.value.name} = {expression}"

    def _placement(self, spec: TensorSpec) -> str:
        return ", ".join(map(self._expression, (spec.dtype, spec.layout, spec.memory)))

    def _input(self, spec: Any) -> str:
        dtype = "torch.float32" if spec.dtype.floating else "torch.int32"
        return f"place(torch.zeros({list(spec.shape)}, dtype={dtype}), {self._placement(spec)})"

    def _call(self, op: Op) -> str:
        positional, keywords = OPERATIONS[op.target].call(op)
        arguments = [
            *map(self._expression, positional),
            *(f"{name}={self._expression(item)}" for name, item in keywords.items()),
        ]
        if OPERATIONS[op.target].host_operands is not None:
            # What TT-NN prepares itself it must be told the device of.
            arguments.append("device=device")
        call = f"{op.target}({', '.join(arguments)})"
        return f"{', '.join(op.results)} = {call}" if op.outputs else call

    def _expression(self, item: Any) -> str:
        """An argument as Python; an object of TT-NN's by the name that it gets here."""
        if isinstance(item, Ref):
            return item.name
        if isinstance(item, list):
            return f"[{', '.join(map(self._expression, item))}]"
        argument = ttnn_argument(item)
        if not isinstance(argument, Construct):
            return source(argument)
        if argument not in self.objects:
            kind = argument.function.path.rpartition(".")[2]
            self._kinds[kind] += 1
            self.objects[argument] = f"{kind.lower()}_{self._kinds[kind]}"
        return self.objects[argument]


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
