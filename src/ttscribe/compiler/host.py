"""Host operations: calls of PyTorch by name, as data."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from ttscribe.compiler.program import HostOp, HostSpec, Ref

_TYPES = {"dtype": torch.dtype, "device": torch.device, "layout": torch.layout, "memory_format": torch.memory_format}

# A tensor that comes from the device is contiguous, also where PyTorch's own was not and could be viewed as it was.
_ANY_STRIDES = dict.fromkeys(("aten.view.default", "aten._unsafe_view.default"), "aten.reshape.default")


def resolve(target: str) -> Callable[..., Any]:
    """The function that a name such as "aten.cat.default" or "operator.add" stands for."""
    namespace, *path = target.split(".")
    # torch.ops has any name that it is asked for, so Python's own modules must be told apart by theirs.
    if hasattr(torch.ops, namespace) and len(path) == 2 and namespace not in ("operator", "math", "torch"):
        return getattr(getattr(getattr(torch.ops, namespace), path[0]), path[1])  # type: ignore[no-any-return]
    return getattr(importlib.import_module(".".join([namespace, *path[:-1]])), path[-1])  # type: ignore[no-any-return]


def target_name(node: fx.Node) -> str:
    """The name that ``resolve`` knows a node's function by: "aten.linear.default", or "module.name" of another one."""
    target = node.target
    # ATen overloads have a schema, and print as "aten.linear.default"; operator.getitem is a plain function.
    if hasattr(target, "_schema"):
        return str(target)
    return f"{getattr(target, '__module__', '') or 'builtins'}.{getattr(target, '__name__', target)}".removeprefix("_")


def encode(argument: Any) -> Any:
    """A torch constant among the arguments (a dtype, a device ...) as text, so that a program stays plain data."""
    if isinstance(argument, list | tuple):
        return tuple(encode(item) for item in argument)
    if isinstance(argument, slice):
        return ("slice", encode(argument.start), encode(argument.stop), encode(argument.step))
    for kind, of in _TYPES.items():
        if isinstance(argument, of):
            return f"{kind}:{argument}".replace("torch.", "")
    return argument


def decode(argument: Any, values: Mapping[str, Any]) -> Any:
    """The argument for a call: Refs replaced by values, text by the torch constant that it stands for."""
    if isinstance(argument, Ref):
        return values[argument.name]
    if isinstance(argument, list | tuple):
        if argument and argument[0] == "slice":
            return slice(*(decode(item, values) for item in argument[1:]))
        return [decode(item, values) for item in argument]
    if isinstance(argument, str) and argument.partition(":")[0] in _TYPES:
        kind, _, name = argument.partition(":")
        return torch.device(name) if kind == "device" else getattr(torch, name)
    return argument


def run(op: HostOp, values: Mapping[str, Any]) -> Any:
    """Call PyTorch; ``values`` has what the arguments refer to."""
    arguments = [decode(argument, values) for argument in op.args]
    keywords = {name: decode(argument, values) for name, argument in op.kwargs}
    return resolve(_ANY_STRIDES.get(op.target, op.target))(*arguments, **keywords)


def identity(value: Any) -> Any:
    """The value itself: how a literal output is written as a host operation."""
    return value


def laid_out(tensor: torch.Tensor, strides: Sequence[int]) -> torch.Tensor:
    """The tensor as PyTorch laid it out, for what goes by memory order: what leaves the device is contiguous."""
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)


LARGEST = torch.finfo(torch.bfloat16).max


def saturated(data: torch.Tensor) -> torch.Tensor:
    """Finite numbers that bfloat16 would round to infinity as its largest.

    Masks are made with float32's smallest number, and a row that is all masked is a mean in PyTorch, not NaN.
    """
    if data.dtype not in (torch.float32, torch.float64) or not data.numel():
        return data
    low, high = torch.aminmax(data)
    if low >= -LARGEST and high <= LARGEST:
        return data
    return torch.where(data.isfinite(), data.clamp(-LARGEST, LARGEST), data)


_NUMBERS: dict[type, str] = {
    torch.SymInt: "int",
    torch.SymFloat: "float",
    torch.SymBool: "bool",
    int: "int",
    float: "float",
    bool: "bool",
    str: "str",
    type(None): "none",
}


def host_spec(described: Any) -> HostSpec:
    """The spec of a value like ``described``, a (fake or meta) tensor or a number."""
    if isinstance(described, torch.Tensor):
        # A SymInt is no int, and to compare it with one would make the tracer assume the answer from then on.
        sizes = tuple(size if type(size) is int else str(size) for size in described.shape)
        return HostSpec(sizes, str(described.dtype).removeprefix("torch."))
    return HostSpec((), "tuple" if isinstance(described, list | tuple) else _NUMBERS[type(described)])


def to_meta(argument: Any, specs: Mapping[str, HostSpec]) -> Any:
    """Arguments with a meta tensor for each Ref, to ask PyTorch for a result's shape without computing it."""
    if isinstance(argument, Ref):
        spec = specs[argument.name]
        return torch.empty([int(size) for size in spec.shape], dtype=getattr(torch, spec.dtype), device="meta")
    if isinstance(argument, dict):
        return {name: to_meta(item, specs) for name, item in argument.items()}
    if isinstance(argument, tuple):
        return [to_meta(item, specs) for item in argument]
    # A device among the arguments, as in aten.full, would have PyTorch compute after all.
    decoded = decode(argument, {})
    return torch.device("meta") if isinstance(decoded, torch.device) else decoded
