"""Recorded calls of real TT-NN kernels, and what the emulator makes of each.

The format is that of ``ttscribe record``. A case is read as the call that it was: every attribute of it decides what is
emulated, and nothing else.
"""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file

from ttscribe.cases import Case, Input
from ttscribe.cases.call import called, destinations
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.operations.emulation import Call, DeviceTensor, settled
from ttscribe.compiler.program import DType, Layout, TensorSpec, Value
from ttscribe.devices.emulator.loaded import emulated

# TT-NN ignores a list of one: the state stays as it was. No record of ours can say such a call.
NOT_OURS = {"create_qkv_heads.q_only.list_of_one", "create_qkv_heads.qkv.list_of_three"}


@dataclass(frozen=True)
class Recorded:
    """One case: the call, its inputs, and what the kernel gave."""

    name: str
    call: Call
    outputs: dict[str, torch.Tensor]

    def emulated(self) -> dict[str, torch.Tensor]:
        """What the emulator gives, by the names of the recorded outputs."""
        names = dict(_tensors(self.call))
        results = emulated(self.call)
        found = {f"out{index}": result.data for index, result in enumerate(results)}
        written = {f"{name}.after": names[name].data for name in OPERATIONS[self.call.op.target].written(self.call.op)}
        return {name: data for name, data in {**found, **written}.items() if name in self.outputs}


def _tensors(call: Call):
    yield from zip(call.op.operands, call.operands, strict=True)
    yield from ((name, call.keywords[parameter]) for parameter, name in call.op.keywords)


@cache
def _values(folder: Path):
    return load_file(folder / "values.safetensors")


def cases(folder: Path) -> list[dict]:
    """Every case of a folder that ran to its end."""
    lines = (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return [case for case in map(json.loads, lines) if case["status"] == "ok"]


def read(folder: Path, line: dict) -> Recorded:
    """A case as a call; KeyError for an argument that its operation's record does not know."""
    values, operation, case = _values(folder), OPERATIONS[line["target"]], msgspec.convert(line, Case)
    tensors = {name: _tensor(given, values) for name, given in case.inputs.items()}
    op = called(case, operation)
    if destinations(case):
        # All three are the one tensor that is written.
        (state,) = set(destinations(case))
        op = replace(op, keywords=(*op.keywords, (operation.into, state)))
    outputs = {name: item for name, item in line["outputs"].items() if item.get("key")}
    if not operation.written(op):
        made = [_value(name, item) for name, item in line["outputs"].items() if name.startswith("out")]
        op = replace(op, outputs=tuple(made))
    call = Call(
        op,
        tuple(tensors[name] for name in op.operands),
        {key: tensors[name] for key, name in op.keywords},
        exact=False,
        as_kernels=True,
    )
    return Recorded(case.name, call, {name: values[item["key"]] for name, item in outputs.items()})


def _tensor(given: Input, values) -> DeviceTensor:
    return DeviceTensor(given.spec, settled(values[given.key].float().clone(), given.spec, exact=False))


def _value(name: str, item: dict) -> Value:
    return Value(name, TensorSpec(tuple(item["shape"]), DType(item["dtype"]), Layout(item["layout"])))


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Pearson's; 1 for equal tensors, constant ones too."""
    if torch.equal(first.float(), second.float()):
        return 1.0
    return float(torch.corrcoef(torch.stack([first.flatten().double(), second.flatten().double()]))[0, 1])


def units(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """How many bfloat16 numbers apart the elements are."""
    steps = [torch.where(bits < 0, -(bits & 0x7FFF), bits) for bits in (_bits(first), _bits(second))]
    return (steps[0] - steps[1]).abs()


def _bits(data: torch.Tensor) -> torch.Tensor:
    return data.bfloat16().view(torch.int16).int()
