"""One call of a program as a Python script that needs only ``ttnn``, ``torch`` and ``safetensors``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ttscribe.compiler.emit import Calls
from ttscribe.compiler.memory import prepared_on_host
from ttscribe.compiler.operations import MOVES_IN, MOVES_OUT, OPERATIONS
from ttscribe.compiler.program import Op, Program, TensorSpec
from ttscribe.errors import CompileError

# In the file of values: what the call reads, and what it is expected to give, by names of the program.
INPUT, EXPECTED = "input.", "expected."

_HEADER = '''"""{target}: step {step} of {program}, one call. Written by ttscribe; needs ttnn, torch and safetensors.

    python {file} [VALUES.safetensors]

Makes the call on the inputs in the file of values, {values} unless another is named, and prints how far each result is
from the expected one beside it: Pearson's correlation, and the largest absolute difference.
"""

import pathlib
import sys

import torch
import ttnn
from safetensors.torch import load_file

values = load_file(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_name({values!r}))
device = ttnn.open_device(device_id=0, l1_small_size=16384)
grid = device.compute_with_storage_grid_size()


def place(tensor, dtype, layout, memory):
    return ttnn.from_torch(tensor, dtype=dtype, layout=layout, device=device, memory_config=memory)


def compare(name, result):
    result = (result if isinstance(result, torch.Tensor) else ttnn.to_torch(result)).double().flatten()
    expected = values["expected." + name].double().flatten()
    both = torch.stack([result, expected])
    correlation = torch.corrcoef(both)[0, 1].item() if result.numel() > 1 else float("nan")
    largest = (result - expected).abs().max().item() if result.numel() else 0.0
    print(f"{{name}}: correlation {{correlation:.7f}}, largest error {{largest:.6g}}, {{result.numel()}} elements")


'''


def call_script(program: Program, step: int, forms: Mapping[str, TensorSpec], file: str, values: str) -> str:
    """The script ``file``, which reads the file ``values`` beside it.

    ``forms`` says how each tensor that the call reads is given to the device, by name. Raises CompileError for a step
    that stays on the host.
    """
    op = program.body[step]
    if not isinstance(op, Op):
        raise CompileError(f"{program.name}: step {step} stays on the host: it is no call of TT-NN")
    header = _HEADER.format(target=op.target, step=step, program=program.name, file=file, values=values)
    return header + "\n".join(_lines(op, forms, prepared_on_host(program))) + "\n"


def _lines(op: Op, forms: Mapping[str, TensorSpec], on_host: set[str]) -> Iterator[str]:
    calls = Calls()
    inputs = [_input(calls, name, forms.get(name), on_host) for name in dict.fromkeys(op.inputs)]
    call = _call(calls, op)
    yield from calls.definitions()
    yield from inputs
    yield f"\n{call}\n"
    for name in dict.fromkeys((*op.results, *OPERATIONS[op.target].written(op))):
        yield f"compare({name!r}, {name})"
    yield "ttnn.close_device(device)"


def _input(calls: Calls, name: str, form: TensorSpec | None, on_host: set[str]) -> str:
    value = f"values[{INPUT + name!r}]"
    if form is None:
        return f"{name} = {value}"
    if name in on_host:
        return f"{name} = ttnn.from_torch({value}, dtype={calls.expression(form.dtype)})"
    return f"{name} = place({value}, {calls.placement(form)})"


def _call(calls: Calls, op: Op) -> str:
    if op.target == MOVES_IN and isinstance(op.output.spec, TensorSpec):
        return f"{op.output.name} = place({op.operands[0]}, {calls.placement(op.output.spec)})"
    if op.target == MOVES_OUT:
        return f"{op.output.name} = ttnn.to_torch({op.operands[0]})"
    return calls.call(op)
