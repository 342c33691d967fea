"""The Program: what the compiler makes and every device runs.

A program is a list of steps over named values: TT-NN calls, and host segments for what stays in PyTorch. It is
immutable data: it prints as text (``compiler/text.py``), round-trips through JSON (``compiler/serialise.py``), and
satisfies a verifier (``compiler/verify.py``). Nothing in it refers to FX. What is known of each TT-NN operation is in
``compiler/operations``; how programs are made and changed is in ``compiler/editor.py``.

    inputs     what a run passes in: host tensors and numbers, or tensors that are on the device already
    params     host tensors by name: the weights, bound when the program is loaded
    setup      ATen calls on params, run once on the host at load (transposed weights, fused QKV, masks)
    constants  device tensors made from params and setup values at load
    body       TT-NN calls and host segments, in order
    outputs    names of values
    mutations  host inputs that the caller finds changed: (input, the value it takes)
    written_inputs  device inputs that a run writes in place: each by some call, and no others
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from math import prod
from typing import Any, ClassVar, TypeAlias

# The unit of everything on the card: a tile is stored as four faces of 16 x 16 (tt-metal's
# tech_reports/tensor_layouts).
TILE_SIZE = 32


class DType(str, Enum):
    """A device tensor's element type, named as TT-NN names it. Values of the block formats share exponents by 16."""

    BFLOAT16 = "bfloat16"
    BFLOAT8_B = "bfloat8_b"
    BFLOAT4_B = "bfloat4_b"
    FLOAT32 = "float32"
    INT32 = "int32"
    UINT32 = "uint32"

    @property
    def bytes(self) -> float:
        """Bytes of one element; the block formats carry one exponent byte for 16 elements."""
        return _BYTES[self]

    @property
    def floating(self) -> bool:
        """Whether values are floating-point numbers, block formats among them."""
        return self not in (DType.INT32, DType.UINT32)


# A tile of bfloat8_b is 64 exponents and 1,024 values, 1,088 bytes; one of bfloat4_b takes 576.
_BYTES = {
    DType.BFLOAT16: 2.0,
    DType.BFLOAT8_B: 1 + 1 / 16,
    DType.BFLOAT4_B: 0.5 + 1 / 16,
    DType.FLOAT32: 4.0,
    DType.INT32: 4.0,
    DType.UINT32: 4.0,
}


class Layout(str, Enum):
    """How elements are ordered: rows, or tiles of 32 x 32 with both last dimensions padded up to 32."""

    TILE = "tile"
    ROW_MAJOR = "row_major"


@dataclass(frozen=True, slots=True)
class Sharding:
    """A tensor cut over cores: ``strategy`` is height, width or block; ``shape`` is one shard's; row-wise cores.

    "automatic" is as the operation that makes the tensor chooses for the board's grid: of no known shape.
    """

    strategy: str
    shape: tuple[int, int] = (0, 0)
    cores: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Where a device tensor lives: ``buffer`` is "dram" or "l1", the cores' own memory.

    Unless sharded it is interleaved: its pages (tiles, or rows in row-major layout) go round the banks in turn.
    """

    buffer: str = "dram"
    sharding: Sharding | None = None


DRAM = Memory("dram")
L1 = Memory("l1")
SHARDED_AS_MADE = Memory("l1", Sharding("automatic"))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A device tensor: logical shape, element type, layout, memory."""

    shape: tuple[int, ...]
    dtype: DType = DType.BFLOAT16
    layout: Layout = Layout.TILE
    memory: Memory = DRAM

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """The shape that is stored: in tile layout both last dimensions are rounded up to 32."""
        if self.layout is Layout.ROW_MAJOR or not self.shape:
            return self.shape
        # One dimension is one row: TT-NN 0.81.1 stores [64] in tiles as 32 x 64.
        rows, columns = (1, *self.shape)[-2:]
        up = tuple(-(-size // TILE_SIZE) * TILE_SIZE for size in (rows, columns))
        return (*self.shape[:-2], *up)

    @property
    def bytes(self) -> int:
        """Bytes that are stored, padding included."""
        return round(prod(self.padded_shape) * self.dtype.bytes)


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A value on the host: a tensor (dtype as torch names it) or, with no shape, a whole number ("int").

    Dimensions that are known only when the program runs are the text of their symbolic expression.
    """

    shape: tuple[int | str, ...]
    dtype: str


Spec: TypeAlias = TensorSpec | HostSpec


class Role(str, Enum):
    """What a value is for, where a pass or a device has to know it."""

    INTERMEDIATE = "intermediate"
    ARGUMENT = "argument"  # an input that every run is given anew
    STATE = "state"  # an input that lasts from run to run; programs of one model share it by its name
    HANDED_OVER = "handed over"  # an input that another program of the model has made
    ADDITIVE_MASK = "additive mask"  # added to attention's scores: zero where a condition holds, far below elsewhere


@dataclass(frozen=True, slots=True)
class Value:
    """A named value: what it is, and what it is for."""

    name: str
    spec: Spec
    role: Role = Role.INTERMEDIATE

    @property
    def on_device(self) -> bool:
        """Whether it is a device tensor, and not a host tensor or a number."""
        return isinstance(self.spec, TensorSpec)


@dataclass(frozen=True, slots=True)
class Config:
    """A TT-NN configuration object: ``kind`` is its class, ``fields`` its arguments."""

    kind: str
    fields: tuple[tuple[str, Attribute], ...]

    def __getitem__(self, name: str) -> Attribute:
        return dict(self.fields)[name]


Attribute: TypeAlias = "bool | int | float | str | DType | Layout | Memory | Config | tuple[Attribute, ...] | None"


@dataclass(frozen=True, slots=True)
class Ref:
    """A value's name among the arguments of a host operation."""

    name: str


@dataclass(frozen=True, slots=True)
class HostOp:
    """A call of PyTorch on the host: ``target`` such as "aten.cat.default", arguments with Refs for values."""

    target: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    output: Value

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that the arguments refer to, in order."""
        return tuple(_refs((self.args, self.kwargs)))


def _refs(argument: Any) -> Iterator[str]:
    if isinstance(argument, Ref):
        yield argument.name
    elif isinstance(argument, tuple | list):
        for item in argument:
            yield from _refs(item)


class Reason(str, Enum):
    """Why an ATen node stays on the host."""

    NO_RULE = "no_rule"
    SYMBOLIC_INTEGER = "symbolic_integer"
    SYMBOLIC_SHAPE = "symbolic_shape"
    DTYPE = "dtype"
    SHAPE = "shape"
    ARGUMENT = "argument"
    NOT_A_TENSOR = "not_a_tensor"
    RANDOM = "random"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Fallback:
    """One node that stays on the host: its name and target in the traced graph, why, and what to do about it."""

    node: str
    target: str
    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class HostSegment:
    """Consecutive operations that stay in PyTorch: what they read, what is read of them later, and why each stays.

    One that has ``effects`` (it draws random numbers, or checks something) runs also where nothing reads its results.
    """

    target: ClassVar[str] = "host segment"

    ops: tuple[HostOp, ...]
    inputs: tuple[str, ...]
    results: tuple[str, ...]
    fallbacks: tuple[Fallback, ...]
    effects: bool = False

    @property
    def outputs(self) -> tuple[Value, ...]:
        """Every value that the segment makes, also those that only the segment itself reads."""
        return tuple(op.output for op in self.ops)


@dataclass(frozen=True, slots=True)
class Op:
    """A TT-NN call: ``target`` such as "ttnn.linear", tensors by position and by keyword, attributes by keyword.

    ``source`` names the ATen nodes that it came from.
    """

    target: str
    operands: tuple[str, ...]
    outputs: tuple[Value, ...]
    keywords: tuple[tuple[str, str], ...] = ()
    attributes: tuple[tuple[str, Attribute], ...] = ()
    source: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors that the call takes, by position and then by keyword."""
        return (*self.operands, *(name for _, name in self.keywords))

    @property
    def results(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(value.name for value in self.outputs)

    def keyword(self, parameter: str) -> str | None:
        """The value passed as ``parameter``, if any."""
        return dict(self.keywords).get(parameter)

    def attribute(self, name: str, default: Attribute = None) -> Any:
        """The attribute of that name; ``default`` where the call does not have it."""
        return dict(self.attributes).get(name, default)

    def attributes_by_name(self) -> dict[str, Any]:
        """The attributes as keyword arguments, to make a call like this one."""
        return dict(self.attributes)

    def with_attributes(self, **attributes: Attribute) -> Op:
        """The same call with these attributes added or changed."""
        return replace(self, attributes=tuple({**dict(self.attributes), **attributes}.items()))

    def with_keyword(self, parameter: str, name: str) -> Op:
        """The same call with the value ``name`` passed as ``parameter``."""
        return replace(self, keywords=tuple({**dict(self.keywords), parameter: name}.items()))

    def reading(self, names: Mapping[str, str]) -> Op:
        """The same call that reads, in place of its inputs, what ``names`` has for them."""
        operands = tuple(names.get(name, name) for name in self.operands)
        keywords = tuple((parameter, names.get(name, name)) for parameter, name in self.keywords)
        return replace(self, operands=operands, keywords=keywords)

    @property
    def output(self) -> Value:
        """The only output."""
        (value,) = self.outputs
        return value


Step: TypeAlias = Op | HostSegment


@dataclass(frozen=True, slots=True)
class Constant:
    """A device tensor made at load from ``source``, the name of a param or of a setup value."""

    value: Value
    source: str


@dataclass(frozen=True, slots=True)
class Program:
    """Steps over named values, and what they need: the module's docstring says what each field holds."""

    name: str
    inputs: tuple[Value, ...]
    params: tuple[Value, ...]
    setup: tuple[HostOp, ...]
    constants: tuple[Constant, ...]
    body: tuple[Step, ...]
    outputs: tuple[str, ...]
    mutations: tuple[tuple[str, str], ...] = ()
    written_inputs: tuple[str, ...] = ()
    precision: str = "exact"

    @property
    def ops(self) -> list[Op]:
        """The TT-NN calls, in order."""
        return [step for step in self.body if isinstance(step, Op)]

    @property
    def host_segments(self) -> list[HostSegment]:
        """What stays in PyTorch, in order."""
        return [step for step in self.body if isinstance(step, HostSegment)]

    @property
    def fallbacks(self) -> list[Fallback]:
        """Every node that stays on the host, in order."""
        return [fallback for segment in self.host_segments for fallback in segment.fallbacks]

    def values(self) -> dict[str, Value]:
        """Every value by name, host and device."""
        before_body = (
            *self.inputs,
            *self.params,
            *(op.output for op in self.setup),
            *(constant.value for constant in self.constants),
        )
        computed = (value for step in self.body for value in step.outputs)
        return {value.name: value for value in (*before_body, *computed)}

    def specs(self) -> dict[str, Spec]:
        """The spec of every value by name."""
        return {name: value.spec for name, value in self.values().items()}

    def inputs_of(self, role: Role) -> tuple[Value, ...]:
        """The inputs that have a role, in order."""
        return tuple(value for value in self.inputs if value.role is role)
