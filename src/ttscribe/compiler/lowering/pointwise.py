"""Element by element."""

from functools import partial
from typing import Any

import torch
from torch import fx

from ttscribe.compiler.lowering.builder import Builder, device_spec
from ttscribe.compiler.lowering.guards import (
    FLOATS,
    WIDE_INTEGERS,
    all_of,
    arguments,
    floats_only,
    no_integer_arithmetic,
    tensors,
    value,
)
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import DType, Layout, Reason
from ttscribe.compiler.settings import CompileSettings

_UNARY = {
    "abs": "abs",
    "ceil": "ceil",
    "cos": "cos",
    "erf": "erf",
    "exp": "exp",
    "floor": "floor",
    "log": "log",
    "neg": "neg",
    "reciprocal": "reciprocal",
    "relu": "relu",
    "rsqrt": "rsqrt",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "sin": "sin",
    "sqrt": "sqrt",
    "tanh": "tanh",
}
# Sums and differences have rules of their own, for alpha and for integers.
_ARITHMETIC = {
    "mul.Tensor": "multiply",
    "mul.Scalar": "multiply",
    "div.Tensor": "divide",
    "div.Scalar": "divide",
    "maximum.default": "maximum",
    "minimum.default": "minimum",
}
_COMPARISON = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}


def _unary(b: Builder, node: fx.Node, *, target: str) -> str:
    return b.op(f"ttnn.{target}", b.tensor(arguments(node)[0]))


for _aten, _ttnn in _UNARY.items():
    rule(f"aten.{_aten}.default", guard=floats_only)(partial(_unary, target=_ttnn))


@rule("aten.gelu.default", guard=floats_only)
def gelu(b: Builder, node: fx.Node) -> str:
    if node.kwargs.get("approximate", "none") == "none":
        return b.op("ttnn.gelu", b.tensor(arguments(node)[0]))
    return _tanh_gelu(b, b.tensor(arguments(node)[0]))


def _tanh_gelu(b: Builder, x: str) -> str:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): TT-NN's own approximation is another one, from a table."""
    cube = b.op("ttnn.multiply", b.op("ttnn.multiply", x, x), x)
    inner = b.op("ttnn.add", x, b.op("ttnn.multiply", cube, other=0.044715))
    gate = b.op("ttnn.tanh", b.op("ttnn.multiply", inner, other=0.7978845608028654))
    return b.op("ttnn.multiply", b.op("ttnn.multiply", x, other=0.5), b.op("ttnn.add", gate, other=1.0))


def _operands(b: Builder, node: fx.Node) -> tuple[list[str], dict[str, Any]]:
    """Both operands: as tensors, or the second as a number."""
    left, right = arguments(node)[:2]
    if not isinstance(right, fx.Node):
        return [b.tensor(left)], {"other": right}
    return [b.tensor(left), b.tensor(right)], {}


def _binary(b: Builder, node: fx.Node, *, target: str) -> str:
    names, attributes = _operands(b, node)
    return b.op(f"ttnn.{target}", *names, **attributes)


for _aten, _ttnn in _ARITHMETIC.items():
    rule(f"aten.{_aten}", guard=floats_only)(partial(_binary, target=_ttnn))


def _alpha(node: fx.Node) -> Any:
    """What the second operand is multiplied by: a keyword beside a tensor, by position beside a number."""
    return arguments(node)[2] if len(arguments(node)) > 2 else node.kwargs.get("alpha", 1)


def _sum_or_difference(b: Builder, node: fx.Node, *, target: str) -> str:
    alpha, (left, right) = _alpha(node), arguments(node)[:2]
    if not isinstance(right, fx.Node):
        return b.op(f"ttnn.{target}", b.like(left, node), other=right * alpha)
    added = b.like(right, node)
    if alpha != 1:
        added = b.op("ttnn.multiply", added, other=alpha)
    return b.op(f"ttnn.{target}", b.like(left, node), added)


def _same_kind(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    """A whole number above 256 added to a bfloat16 would be rounded: PyTorch's promotion stays on the host."""
    kinds = {tensor.dtype in FLOATS for tensor in tensors([*arguments(node), node])}
    if len(kinds) == 1:
        return None
    return Refusal(Reason.DTYPE, "floating point and integers in one operation; cast the integers first")


for _aten, _ttnn in {"add": "add", "sub": "subtract"}.items():
    for _overload in ("Tensor", "Scalar"):
        rule(f"aten.{_aten}.{_overload}", guard=all_of(no_integer_arithmetic, _same_kind))(
            partial(_sum_or_difference, target=_ttnn)
        )


@rule("aten.rsub.Scalar", guard=floats_only)
def rsub(b: Builder, node: fx.Node) -> str:
    taken = b.op("ttnn.multiply", b.tensor(arguments(node)[0]), other=-_alpha(node))
    return b.op("ttnn.add", taken, other=arguments(node)[1])


@rule("aten.pow.Tensor_Scalar", guard=floats_only)
def power(b: Builder, node: fx.Node) -> str:
    x, exponent = b.tensor(arguments(node)[0]), arguments(node)[1]
    if exponent == 2:
        return b.op("ttnn.multiply", x, x)
    if exponent == 3:
        return b.op("ttnn.multiply", b.op("ttnn.multiply", x, x), x)
    return b.op("ttnn.pow", x, other=exponent)


def _compare(b: Builder, node: fx.Node, *, target: str) -> str:
    """0 or 1 in bfloat16, which is how every boolean is held on the device."""
    left, right = arguments(node)[:2]
    # TT-NN 0.81.1 refuses to compare float with integer, and gives its answer in the operands' own type.
    dtype = device_spec(value(left)).dtype
    if not isinstance(right, fx.Node):
        answer = b.op(f"ttnn.{target}", b.tensor(left, dtype, Layout.TILE), other=right)
    else:
        answer = b.op(f"ttnn.{target}", b.tensor(left, dtype, Layout.TILE), b.tensor(right, dtype, Layout.TILE))
    return b.cast(answer, DType.BFLOAT16, Layout.TILE)


def _comparable(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    dtypes, number = {tensor.dtype for tensor in tensors(arguments(node))}, arguments(node)[1]
    if dtypes <= set(FLOATS) or (dtypes <= set(WIDE_INTEGERS) and (isinstance(number, fx.Node) or _is_int32(number))):
        return None
    return Refusal(Reason.DTYPE, "only floating point, or 32- and 64-bit integers, are compared on the device")


def _is_int32(number: Any) -> bool:
    return float(number).is_integer() and -(2**31) <= number < 2**31


for _aten, _ttnn in _COMPARISON.items():
    for _overload in ("Tensor", "Scalar"):
        rule(f"aten.{_aten}.{_overload}", guard=_comparable)(partial(_compare, target=_ttnn))


def _booleans(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    if all(str(tensor.dtype) == "torch.bool" for tensor in tensors([*arguments(node), node])):
        return None
    return Refusal(Reason.DTYPE, "only booleans are combined on the device")


# Python's own operators are overloads of their own.
for _ttnn in ("and", "or"):
    _names = (f"logical_{_ttnn}.default", f"bitwise_{_ttnn}.Tensor", f"__{_ttnn}__.Tensor")
    rule(*(f"aten.{_name}" for _name in _names), guard=_booleans)(partial(_binary, target=f"logical_{_ttnn}"))


@rule("aten.logical_not.default", "aten.bitwise_not.default", guard=_booleans)
def logical_not(b: Builder, node: fx.Node) -> str:
    return b.op("ttnn.logical_not", b.tensor(arguments(node)[0]))


def _chooses_floats(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    if value(node).dtype in FLOATS and all(t.dtype in (*FLOATS, torch.bool) for t in tensors(arguments(node))):
        return None
    return Refusal(Reason.DTYPE, "only floating point is chosen from on the device, by booleans")


def _chooses(node: fx.Node, settings: CompileSettings) -> Refusal | None:
    """Whole numbers too, of two tensors of one kind."""
    condition, *choices = arguments(node)
    whole = [value(choice).dtype for choice in choices if isinstance(choice, fx.Node)]
    if value(condition).dtype == torch.bool and whole in ([torch.int64] * 2, [torch.int32] * 2):
        return None
    return _chooses_floats(node, settings)


@rule("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar", guard=_chooses)
def where(b: Builder, node: fx.Node) -> str:
    condition, *choices = arguments(node)
    names = [b.tensor(condition)]
    attributes: dict[str, Any] = {}
    for choice, parameter in zip(choices, ("true_value", "false_value"), strict=True):
        if isinstance(choice, fx.Node):
            names.append(b.tensor(choice, device_spec(value(node)).dtype, Layout.TILE))
        else:
            attributes[parameter] = float(choice)
    return b.op("ttnn.where", *names, **attributes)


@rule("aten.masked_fill.Scalar", guard=_chooses_floats)
def masked_fill(b: Builder, node: fx.Node) -> str:
    x, mask, fill = arguments(node)
    return b.op("ttnn.where", b.tensor(mask), b.tensor(x), true_value=float(fill))


@rule("aten.clamp.default", guard=floats_only)
def clamp(b: Builder, node: fx.Node) -> str:
    x, low, high = (*arguments(node), None, None)[:3]
    return b.op("ttnn.clamp", b.tensor(x), min=low, max=high)


@rule("aten.leaky_relu.default", guard=floats_only)
def leaky_relu(b: Builder, node: fx.Node) -> str:
    x, slope = (*arguments(node), 0.01)[:2]
    return b.op("ttnn.leaky_relu", b.tensor(x), negative_slope=slope)
