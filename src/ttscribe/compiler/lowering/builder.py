"""What a rule builds with: it appends TT-NN calls to a program and knows every value's spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from ttscribe.compiler.host import resolve, to_meta
from ttscribe.compiler.lowering.guards import value
from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import (
    Attribute,
    Constant,
    DType,
    HostOp,
    HostSpec,
    Layout,
    Op,
    Ref,
    Step,
    TensorSpec,
    Value,
)

DEVICE_DTYPES = {
    torch.float32: DType.BFLOAT16,
    torch.bfloat16: DType.BFLOAT16,
    torch.float16: DType.BFLOAT16,
    torch.bool: DType.BFLOAT16,
    torch.int64: DType.INT32,
    torch.int32: DType.INT32,
    torch.int16: DType.INT32,
    torch.int8: DType.INT32,
    torch.uint8: DType.INT32,
}


@dataclass(frozen=True, slots=True)
class Known:
    """A host value known when the program is loaded: a param, or computed from params by setup."""

    name: str


@dataclass(frozen=True, slots=True)
class OnDevice:
    name: str


@dataclass(frozen=True, slots=True)
class OnHost:
    """A host value that exists only when the program runs: a tensor or a whole number."""

    name: str


_NUMBERS = {
    torch.SymInt: "int",
    torch.SymFloat: "float",
    torch.SymBool: "bool",
    int: "int",
    float: "float",
    bool: "bool",
    str: "str",
    type(None): "none",
}

Place = Known | OnDevice | OnHost


def host_spec(described: Any) -> HostSpec:
    """The spec of what a node's meta value describes."""
    if isinstance(described, Tensor):
        sizes = tuple(size if type(size) is int else str(size) for size in described.shape)
        return HostSpec(sizes, str(described.dtype).removeprefix("torch."))
    return HostSpec((), "tuple" if isinstance(described, list | tuple) else _NUMBERS[type(described)])


def device_spec(tensor: Tensor, dtype: DType | None = None, layout: Layout | None = None) -> TensorSpec:
    """How a torch tensor is held on the device unless a rule says otherwise: floats in tiles, integers in rows."""
    dtype = dtype or DEVICE_DTYPES[tensor.dtype]
    layout = layout or (Layout.TILE if dtype.floating else Layout.ROW_MAJOR)
    return TensorSpec(tuple(tensor.shape), dtype, layout)


@dataclass
class Builder:
    """State of one lowering. ``places`` says where each FX node's result is."""

    places: dict[fx.Node, Any] = field(default_factory=dict)
    specs: dict[str, Any] = field(default_factory=dict)
    setup: list[HostOp] = field(default_factory=list)
    constants: dict[tuple[str, DType, Layout], Constant] = field(default_factory=dict)
    body: list[Step] = field(default_factory=list)
    _moved: dict[tuple[str, str], str] = field(default_factory=dict)
    _source: str = ""

    def declare(self, name: str, spec: Any) -> Value:
        """A new value; where the name is taken it gets a number."""
        unique, count = name, 0
        while unique in self.specs:
            count += 1
            unique = f"{name}_{count}"
        self.specs[unique] = spec
        return Value(unique, spec)

    def at(self, node: fx.Node) -> Builder:
        """Say which node the next calls come from."""
        self._source = node.name
        return self

    def mark(self) -> tuple[int, int]:
        """Where the body is now, for ``undo``."""
        return len(self.body), len(self._moved)

    def undo(self, mark: tuple[int, int]) -> None:
        """Forget the calls since ``mark``."""
        calls, moves = mark
        del self.body[calls:]
        while len(self._moved) > moves:
            self._moved.popitem()

    def spec(self, name: str) -> TensorSpec:
        spec = self.specs[name]
        assert isinstance(spec, TensorSpec), f"{name} is not on the device"
        return spec

    def op(
        self, target: str, *operands: str, keywords: dict[str, str | None] | None = None, **attributes: Attribute
    ) -> str:
        """Append a call with one result, and name it."""
        (name,) = self.ops(target, *operands, keywords=keywords, **attributes)
        return name

    def ops(
        self, target: str, *operands: str, keywords: dict[str, str | None] | None = None, **attributes: Attribute
    ) -> tuple[str, ...]:
        """Append a call, and name its results."""
        given = tuple((key, name) for key, name in (keywords or {}).items() if name is not None)
        kept = tuple((key, item) for key, item in attributes.items() if item is not None)
        op = Op(target, operands, (), given, kept, (self._source,))
        specs = OPERATIONS[target].infer(op, [self.spec(name) for name in op.inputs()])
        outputs = tuple(self.declare(self._source or "value", spec) for spec in specs)
        self.body.append(Op(target, operands, outputs, given, kept, (self._source,)))
        return tuple(output.name for output in outputs)

    def tensor(self, argument: Any, dtype: DType | None = None, layout: Layout | None = None) -> str:
        """The device value of a node, moved or made there where it is a host value or a constant."""
        place = self.places[argument]
        if isinstance(place, Known):
            return self.constant(place, dtype, layout)
        if isinstance(place, OnHost):
            return self.move_in(place.name, value(argument), dtype, layout)
        return self.cast(place.name, dtype, layout)

    def like(self, argument: Any, result: fx.Node) -> str:
        """The device value of a node in the element type and layout in which ``result``'s kind is held."""
        spec = device_spec(value(result))
        return self.tensor(argument, spec.dtype, spec.layout)

    def cast(self, name: str, dtype: DType | None = None, layout: Layout | None = None) -> str:
        """The same values in another element type or layout, if they are not so already."""
        if dtype is not None and self.spec(name).dtype is not dtype:
            name = self.op("ttnn.typecast", name, dtype=dtype)
        if layout is not None and self.spec(name).layout is not layout:
            name = self.op("ttnn.to_layout", name, layout=layout)
        return name

    def is_constant(self, argument: Any) -> bool:
        return isinstance(argument, fx.Node) and isinstance(self.places.get(argument), Known)

    def constant(self, place: Known, dtype: DType | None = None, layout: Layout | None = None) -> str:
        """A constant's device tensor, made once for each element type and layout."""
        spec: HostSpec = self.specs[place.name]
        described = torch.empty([int(size) for size in spec.shape], dtype=getattr(torch, spec.dtype), device="meta")
        wanted = device_spec(described, dtype, layout)
        key = (place.name, wanted.dtype, wanted.layout)
        if key not in self.constants:
            self.constants[key] = Constant(self.declare(f"{place.name}_on_device", wanted), place.name)
        return self.constants[key].value.name

    def at_setup(self, target: str, *args: Any, **kwargs: Any) -> Known:
        """Compute a constant on the host when the program is loaded; arguments may be constants."""
        refs = tuple(_refs(argument) for argument in args)
        result = resolve(target)(*to_meta(refs, self.specs), **to_meta(kwargs, self.specs))
        output = self.declare(f"{self._source or 'setup'}_constant", host_spec(result))
        self.setup.append(HostOp(target, refs, tuple(kwargs.items()), output))
        return Known(output.name)

    def move_in(self, name: str, like: Tensor, dtype: DType | None, layout: Layout | None) -> str:
        """Move a host tensor to the device, once for each element type."""
        spec = device_spec(like, dtype, layout)
        key = (name, f"{spec.dtype.value} {spec.layout.value}")
        if key not in self._moved:
            output = self.declare(f"{name}_on_device", spec)
            attributes: tuple[tuple[str, Attribute], ...] = (("dtype", spec.dtype), ("layout", spec.layout))
            self.body.append(Op("ttnn.from_torch", (name,), (output,), attributes=attributes, source=(name,)))
            self._moved[key] = output.name
        return self._moved[key]

    def move_out(self, name: str, like: Tensor) -> str:
        """Move a device tensor to the host, in the element type that PyTorch gave it."""
        spec = host_spec(like)
        key = (name, spec.dtype)
        if key not in self._moved:
            output = self.declare(f"{name}_on_host", spec)
            attributes: tuple[tuple[str, Attribute], ...] = (("dtype", spec.dtype),)
            self.body.append(Op("ttnn.to_torch", (name,), (output,), attributes=attributes, source=(name,)))
            self._moved[key] = output.name
        return self._moved[key]


def _refs(argument: Any) -> Any:
    if isinstance(argument, Known):
        return Ref(argument.name)
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        return tuple(_refs(item) for item in argument)
    return argument
