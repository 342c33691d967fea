"""What a rule builds with: it appends TT-NN calls to a program and knows where every node's result is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, fx

from ttscribe.compiler.editor import Editor
from ttscribe.compiler.host import LARGEST, host_spec
from ttscribe.compiler.lowering.guards import value
from ttscribe.compiler.operations import MOVES_IN, MOVES_OUT
from ttscribe.compiler.program import Attribute, DType, HostSpec, Layout, Op, Ref, Role, Step, TensorSpec
from ttscribe.compiler.settings import CompileSettings

DEVICE_DTYPES = {
    torch.float32: DType.BFLOAT16,
    torch.bfloat16: DType.BFLOAT16,
    # TT-NN's comparisons give 0 and 1 in floating point, and that is what its choices read.
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
    """A device value by name."""

    name: str


@dataclass(frozen=True, slots=True)
class OnHost:
    """A host value that exists only when the program runs: a tensor or a whole number."""

    name: str


Place = Known | OnDevice | OnHost


def device_spec(tensor: Tensor, dtype: DType | None = None, layout: Layout | None = None) -> TensorSpec:
    """How a torch tensor is held on the device unless a rule says otherwise: floats in tiles, integers in rows."""
    dtype = dtype or DEVICE_DTYPES[tensor.dtype]
    # Integers are ids and positions: cache updates, decode attention and plus_one refuse those in tiles.
    layout = layout or (Layout.TILE if dtype.floating else Layout.ROW_MAJOR)
    return TensorSpec(tuple(tensor.shape), dtype, layout)


class Builder(Editor):
    """State of one lowering. ``places`` says where each FX node's result is, ``settings`` what is compiled for.

    ``any_arguments`` says whether arguments may be whatever PyTorch takes; our own decoding's are not: its masks, for
    one, let every query attend to something.
    """

    def __init__(self, settings: CompileSettings | None = None, *, any_arguments: bool = True) -> None:
        super().__init__()
        self.settings = settings or CompileSettings()
        self.any_arguments = any_arguments
        self.places: dict[fx.Node, Any] = {}
        self.body: list[Step] = []
        # What is made once for all who ask: above all what was moved, by its name and the form that it was moved into.
        self._made: dict[tuple[str, object], str] = {}
        self._source = ""

    def at(self, node: fx.Node) -> Builder:
        """Say which node the next calls come from."""
        self._source = node.name
        return self

    def mark(self) -> tuple[int, int]:
        """Where the body is now, for ``undo``."""
        return len(self.body), len(self._made)

    def undo(self, mark: tuple[int, int]) -> None:
        """Forget the calls since ``mark``."""
        calls, made = mark
        del self.body[calls:]
        while len(self._made) > made:
            self._made.popitem()

    def op(
        self,
        target: str,
        *operands: str,
        keywords: dict[str, str | None] | None = None,
        role: Role = Role.INTERMEDIATE,
        **attributes: Attribute,
    ) -> str:
        """Append a call with one result, and name it; raises SpecError where TT-NN would refuse it."""
        source = (self._source,)
        attributes = {name: self._number(item) for name, item in attributes.items()}
        called = self.call(target, *operands, names=(), keywords=keywords, source=source, role=role, **attributes)
        self.body.append(called)
        return called.output.name

    def _number(self, item: Attribute) -> Attribute:
        """A number that float32 holds and bfloat16 rounds to infinity is its largest: a mask's zeros times it are 0."""
        if not isinstance(item, float) or not isfinite(item) or self.settings.precision.exact:
            return item
        return max(min(item, LARGEST), -LARGEST)

    def once(self, name: str, what: object, make: Callable[[], str]) -> str:
        """What ``make`` gives for ``name``, made when first asked for."""
        if (name, what) not in self._made:
            self._made[name, what] = make()
        return self._made[name, what]

    def tensor(self, argument: Any, dtype: DType | None = None, layout: Layout | None = None) -> str:
        """The device value of a node, moved or made there where it is a host value or a constant."""
        place = self.places[argument]
        if isinstance(place, Known):
            return self.device_constant(place, dtype, layout)
        if isinstance(place, OnHost):
            return self._move(MOVES_IN, place.name, device_spec(value(argument), dtype, layout))
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

    def is_known(self, argument: Any) -> bool:
        """Whether an argument is a node whose result is known when the program is loaded."""
        return isinstance(argument, fx.Node) and isinstance(self.places.get(argument), Known)

    def device_constant(self, place: Known, dtype: DType | None = None, layout: Layout | None = None) -> str:
        """A known value's device tensor, made once for each element type and layout."""
        spec: HostSpec = self.specs[place.name]
        described = torch.empty([int(size) for size in spec.shape], dtype=getattr(torch, spec.dtype), device="meta")
        return self.constant(place.name, device_spec(described, dtype, layout))

    def at_setup(self, target: str, *args: Any) -> Known:
        """Compute a value on the host when the program is loaded; arguments may be known values."""
        refs = tuple(map(_as_ref, args))
        return Known(self.compute(target, *refs, name=f"{self._source or 'setup'}_constant"))

    def move_out(self, name: str, like: Any) -> str:
        """Move a device tensor to the host, once, in the element type that PyTorch gave it."""
        return self._move(MOVES_OUT, name, host_spec(like))

    def _move(self, target: str, name: str, spec: TensorSpec | HostSpec) -> str:
        def move() -> str:
            form: dict[str, Attribute] = {"dtype": spec.dtype}
            if isinstance(spec, TensorSpec):
                form["layout"] = spec.layout
            output = self.declare(f"{name}_on_{'device' if target == MOVES_IN else 'host'}", spec)
            self.body.append(Op(target, (name,), (output,), attributes=tuple(form.items()), source=(name,)))
            return output.name

        return self.once(name, spec, move)


def _as_ref(argument: Any) -> Any:
    if isinstance(argument, Known):
        return Ref(argument.name)
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        return tuple(map(_as_ref, argument))
    return argument


def bias_rows(b: Builder, argument: Any, rank: int = 2, layout: Layout = Layout.TILE) -> str | None:
    """A bias [N] as the tensor [1, ..., 1, N] of ``rank`` that TT-NN adds to every row; None where there is none."""
    if argument is None:
        return None
    shape = (1,) * (rank - 1) + tuple(value(argument).shape)
    if b.is_known(argument):
        return b.device_constant(b.at_setup("aten.reshape.default", b.places[argument], shape), layout=layout)
    return b.cast(b.op("ttnn.reshape", b.tensor(argument), shape=shape), layout=layout)
