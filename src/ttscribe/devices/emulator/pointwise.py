"""Element by element, and the normalisations."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.pointwise import WHERE_VALUES
from ttscribe.devices.emulator.rounding import rounded
from ttscribe.devices.emulator.tensors import Call, EmulationError

_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "softplus": F.softplus,
    **{
        name: getattr(torch, name)
        for name in (
            *(
                "abs",
                "ceil",
                "cos",
                "erf",
                "exp",
                "exp2",
                "expm1",
                "floor",
                "isfinite",
                "isinf",
                "isnan",
                "log",
                "log1p",
            ),
            *("log2", "logical_not", "neg", "reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign", "sin", "sqrt"),
            *("square", "tan", "tanh", "trunc"),
        )
    },
}

_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "divide": torch.true_divide,
    "rsub": lambda first, second: second - first,
    **{
        name: getattr(torch, name)
        for name in (
            *("add", "subtract", "multiply", "pow", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge"),
            *("logical_and", "logical_or"),
        )
    },
}


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: function(*call.data)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: function(*_pair(call))


def _pair(call: Call) -> tuple[Tensor, Tensor]:
    """Both operands; a number is stored in the tensor's dtype, but for exponents, which the card keeps in full."""
    if len(call.data) == 2:
        first, second = call.data
        return first, second
    (first,) = call.data
    number = torch.tensor(call.attribute("other"), dtype=first.dtype)
    full = call.exact or call.op.target == "ttnn.pow"
    return first, number if full else rounded(number, call.operands[0].spec.dtype)


def _gelu(call: Call) -> Tensor:
    if call.attribute("fast_and_approximate_mode", False):
        raise EmulationError("the approximate gelu is not emulated")
    (x,) = call.data
    return F.gelu(x)


def _where(call: Call) -> Tensor:
    predicate, *tensors = call.data
    remaining = iter(tensors)
    numbers = (call.attribute(name) for name in WHERE_VALUES)
    true, false = (next(remaining) if number is None else number for number in numbers)
    return torch.where(predicate != 0, true, false)


def _clamp(call: Call) -> Tensor:
    (x,) = call.data
    return x.clamp(call.attribute("min"), call.attribute("max"))


def _triangle(function: Callable[..., Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: function(*call.data, diagonal=call.attribute("diagonal", 0))


def _layer_norm(call: Call) -> Tensor:
    x, weight, bias = _normalised(call)
    return F.layer_norm(x, x.shape[-1:], weight, bias, call.attribute("epsilon", 1e-12))


def _rms_norm(call: Call) -> Tensor:
    x, weight, bias = _normalised(call)
    result = F.rms_norm(x, x.shape[-1:], weight, call.attribute("epsilon", 1e-12))
    return result if bias is None else result + bias


def _normalised(call: Call) -> tuple[Tensor, Tensor | None, Tensor | None]:
    (x,) = call.data
    residual, weight, bias = (call.keyword(name) for name in ("residual_input_tensor", "weight", "bias"))
    x = x if residual is None else x + residual
    return x, None if weight is None else weight.flatten(), None if bias is None else bias.flatten()


def _softmax(call: Call) -> Tensor:
    (x,) = call.data
    return x.softmax(call.attribute("dim", -1))


POINTWISE: dict[str, Callable[[Call], Tensor]] = {
    **{f"ttnn.{name}": _unary(function) for name, function in _UNARY.items()},
    **{f"ttnn.{name}": _binary(function) for name, function in _BINARY.items()},
    "ttnn.gelu": _gelu,
    "ttnn.where": _where,
    "ttnn.clamp": _clamp,
    "ttnn.tril": _triangle(torch.tril),
    "ttnn.triu": _triangle(torch.triu),
    "ttnn.layer_norm": _layer_norm,
    "ttnn.rms_norm": _rms_norm,
    "ttnn.softmax": _softmax,
}
