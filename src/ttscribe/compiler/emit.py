"""A program as a Python script that needs only ``ttnn`` and ``torch``: to debug on a card, or to hand on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import Config, DType, HostOp, HostSpec, Layout, Memory, Op, Program, Ref, TensorSpec
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
FULL_GRID = ttnn.CoreGrid(y=grid.y, x=grid.x)


def param(name, shape, dtype):
    if name in given:
        return given[name]
    return torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)


def compute_config(**fields):
    return ttnn.init_device_compute_kernel_config(device.arch(), **fields)


def sharded(strategy, shape, cores):
    return ttnn.create_sharded_memory_config(
        shape=shape,
        core_grid=ttnn.num_cores_to_corerangeset(cores, grid, row_wise=True),
        strategy=strategy,
        use_height_and_width_as_shard_shape=True,
    )


def place(tensor, dtype, layout, memory):
    return ttnn.from_torch(tensor, dtype=dtype, layout=layout, device=device, memory_config=memory)

'''


def to_script(program: Program, file: str = "program.py") -> str:
    """The script; CompileError where the program has host segments, which only PyTorch could run."""
    if program.host_segments:
        raise CompileError(f"{program.name} has operations that stay on the host: only a whole program can be emitted")
    return _HEADER.format(name=program.name, file=file) + "\n".join(_lines(program)) + "\n"


def _lines(program: Program) -> Iterator[str]:
    yield "\n# Params and what is made of them once, on the host."
    for value in program.params:
        assert isinstance(value.spec, HostSpec)
        yield f"{value.name} = param({value.name!r}, {list(value.spec.shape)}, torch.{value.spec.dtype})"
    for made in program.setup:
        yield _host_op(made)
    yield "\n# Constants on the device."
    on_host = _read_by_convolutions(program)
    for constant in program.constants:
        yield _constant(constant.value.name, constant.source, constant.value.spec, constant.value.name in on_host)
    yield "\n# Inputs and state."
    for value in program.inputs:
        yield f"{value.name} = {_input(value.spec)}"
    yield f"\n\ndef {program.name}():"
    outer = [constant.value.name for constant in program.constants] + [value.name for value in program.inputs]
    assigned = {value.name for op in program.ops for value in op.outputs} & set(outer)
    assert not assigned, "a value is defined twice"
    for op in program.ops:
        yield f"    {_op(op)}"
    yield f"    return {', '.join(program.outputs) or 'None'}"
    yield f"\n\nif __name__ == '__main__':\n    {program.name}()\n    ttnn.close_device(device)"


def _read_by_convolutions(program: Program) -> set[str]:
    """Constants that TT-NN prepares itself, from the host."""
    return {name for op in program.ops if op.target == "ttnn.conv1d" for name in list(op.inputs())[1:]}


def _constant(name: str, source: str, spec: Any, on_host: bool) -> str:
    if on_host:
        return f"{name} = ttnn.from_torch({source}.float(), dtype={expression(spec.dtype)})"
    return f"{name} = place({source}, {_placement(spec)})"


def _placement(spec: TensorSpec) -> str:
    return ", ".join(map(expression, (spec.dtype, spec.layout, spec.memory)))


def _input(spec: Any) -> str:
    dtype = "torch.float32" if spec.dtype.floating else "torch.int32"
    return f"place(torch.zeros({list(spec.shape)}, dtype={dtype}), {_placement(spec)})"


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


def _op(op: Op) -> str:
    positional, keywords = OPERATIONS[op.target].call(op)
    arguments = [*map(expression, positional), *(f"{name}={expression(item)}" for name, item in keywords.items())]
    if op.target == "ttnn.conv1d":
        arguments.append("device=device")
    call = f"{op.target}({', '.join(arguments)})"
    return f"{', '.join(value.name for value in op.outputs)} = {call}" if op.outputs else call


def expression(item: Any) -> str:
    """An argument as Python."""
    if isinstance(item, Ref):
        return item.name
    if isinstance(item, DType):
        return f"ttnn.{item.value}"
    if isinstance(item, Layout):
        return f"ttnn.{item.value.upper()}_LAYOUT"
    if isinstance(item, Memory):
        return _memory(item)
    if isinstance(item, Config):
        return _config(item)
    if isinstance(item, tuple | list):
        return f"[{', '.join(map(expression, item))}]"
    return repr(item)


def _memory(memory: Memory) -> str:
    if memory.sharding is None:
        return f"ttnn.{memory.buffer.upper()}_MEMORY_CONFIG"
    sharding = memory.sharding
    return f"sharded(ttnn.ShardStrategy.{sharding.strategy.upper()}, {sharding.shape}, {sharding.cores})"


def _config(config: Config) -> str:
    fields = {name: expression(item) for name, item in config.fields}
    if config.kind == "FullGrid":
        return "FULL_GRID"
    if config.kind == "ComputeKernelConfig":
        fields["math_fidelity"] = f"ttnn.MathFidelity.{config['math_fidelity']}"
        return f"compute_config({_keywords(fields)})"
    if config.kind == "SDPAProgramConfig":
        fields = {"compute_with_storage_grid_size": "grid", **fields}
    if config.kind == "Conv2dL1FullSliceConfig":
        return f"ttnn.{config.kind}"
    if config.kind == "Conv1dConfig" and "activation" in fields:
        activation = str(config["activation"]).upper()
        fields["activation"] = f"ttnn.UnaryWithParam(ttnn.UnaryOpType.{activation})"
    return f"ttnn.{config.kind}({_keywords(fields)})"


def _keywords(fields: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items())
