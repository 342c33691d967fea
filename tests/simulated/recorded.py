"""Recorded calls of real TT-NN kernels, and what the emulator makes of each.

The format is that of ``ttscribe record``. A case is read as the call that it was: every attribute of it decides what is
emulated, and nothing else.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.operations.emulation import Call, DeviceTensor, settled
from ttscribe.compiler.program import Config, DType, Layout, Memory, Op, Sharding, TensorSpec, Value
from ttscribe.devices.emulator.loaded import emulated

# Objects that say where and not what is computed.
PLACES = {"device", "CoreCoord"}
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


def read(folder: Path, case: dict) -> Recorded:
    """A case as a call; KeyError for an argument that its operation's record does not know."""
    values, operation = _values(folder), OPERATIONS[case["target"]]
    tensors = {name: _tensor(item, values) for name, item in case["inputs"].items()}
    operands, attributes, keywords = _operands(case, operation), {}, {}
    names = list(operation.positional)
    for item in case["args"]:
        if isinstance(item, list) and item and isinstance(item[0], dict):
            operands += [part["tensor"] for part in item]
        elif isinstance(item, dict) and "tensor" in item:
            operands.append(item["tensor"])
        else:
            attributes[names.pop(0)] = _attribute(item)
    for key, item in case["kwargs"].items():
        if key in operation.operand_names and isinstance(item, dict) and "tensor" in item:
            continue
        if key == operation.into:
            keywords[key] = (item[0] if isinstance(item, list) else item)["tensor"]
        elif isinstance(item, dict) and "tensor" in item:
            keywords[key] = item["tensor"]
        elif not (isinstance(item, dict) and item.get("kind") in PLACES):
            attributes[key] = _attribute(item)
    outputs = {name: item for name, item in case["outputs"].items() if item.get("key")}
    made = [_value(name, item) for name, item in case["outputs"].items() if name.startswith("out")]
    written = [*operation.mutates, *([operation.into] if operation.into in keywords else [])]
    op = Op(
        case["target"],
        tuple(operands),
        () if written else tuple(made),
        tuple(keywords.items()),
        tuple(attributes.items()),
    )
    call = Call(
        op,
        tuple(tensors[name] for name in operands),
        {key: tensors[name] for key, name in keywords.items()},
        exact=False,
        as_kernels=True,
    )
    return Recorded(case["name"], call, {name: values[item["key"]] for name, item in outputs.items()})


def _operands(case: dict, operation) -> list[str]:
    """Operands that the call names."""
    given = (case["kwargs"].get(name) for name in operation.operand_names)
    return [item["tensor"] for item in given if isinstance(item, dict) and "tensor" in item]


def _spec(item: dict) -> TensorSpec:
    sharding = item.get("sharding")
    shards = Sharding(sharding["strategy"], tuple(sharding["shape"]), sharding["cores"]) if sharding else None
    return TensorSpec(
        tuple(item["shape"]), DType(item["dtype"]), Layout(item["layout"]), Memory(item.get("memory", "dram"), shards)
    )


def _tensor(item: dict, values) -> DeviceTensor:
    spec = _spec(item)
    return DeviceTensor(spec, settled(values[item["key"]].float().clone(), spec, exact=False))


def _value(name: str, item: dict) -> Value:
    return Value(name, TensorSpec(tuple(item["shape"]), DType(item["dtype"]), Layout(item["layout"])))


def _attribute(item):
    if isinstance(item, list):
        return tuple(map(_attribute, item))
    if not isinstance(item, dict):
        return item
    kind, fields = item["kind"], {key: part for key, part in item.items() if key != "kind"}
    if kind == "dtype":
        return DType(fields["name"])
    if kind == "layout":
        return Layout(fields["name"])
    if kind == "memory":
        sharding = fields.get("sharding")
        shards = Sharding(sharding["strategy"], tuple(sharding["shape"]), sharding["cores"]) if sharding else None
        return Memory(fields["buffer"], shards)
    return Config(kind, tuple((key, _attribute(part)) for key, part in fields.items()))


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
