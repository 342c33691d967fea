"""Element by element: of one tensor, of two, or a choice between two."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations import kernels
from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.operation import (
    Extent,
    Family,
    Operation,
    Specs,
    broadcast,
    per_output_element,
    require,
    require_tile,
    result,
    same_as_input,
)
from ttscribe.compiler.operations.rounding import rounded
from ttscribe.compiler.program import Attribute, Config, DType, Layout, Op, TensorSpec
from ttscribe.errors import EmulationError

# Each with what computes it.
_FLOAT_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "softplus": F.softplus,
    **{
        name: getattr(torch, name)
        for name in (
            *("tanh", "sigmoid", "exp", "exp2", "expm1", "log", "log2", "log1p", "sqrt", "rsqrt", "reciprocal"),
            *("sin", "cos", "tan", "erf", "floor", "ceil", "round", "trunc", "sign", "isfinite", "isnan", "isinf"),
        )
    },
}
# These take int32 too; uint32 but for neg.
_INTEGER_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    name: getattr(torch, name) for name in ("relu", "neg", "abs", "square", "logical_not")
}

# Tensors of two floating-point dtypes mix in arithmetic only, and two of these take an integer with a float.
_ARITHMETIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **{name: getattr(torch, name) for name in ("add", "subtract", "multiply")},
    "divide": torch.true_divide,
    "rsub": lambda first, second: second - first,
}
# What each operation's arithmetic is to be: TT-NN's defaults differ from one to the next. Sums of bfloat16 go through
# the matrix engine, as by default: the accurate way goes through the vector unit, and takes bfloat16 only.
_APPROXIMATE = "fast_and_approximate_mode"
_STATED: dict[str, tuple[tuple[str, Attribute], ...]] = {
    **dict.fromkeys(
        ("gelu", "tanh", "exp", "log", "log2", "log1p", "sqrt", "rsqrt", "erf", "multiply", "divide"),
        ((_APPROXIMATE, False),),
    ),
    **dict.fromkeys(("add", "subtract", "rsub"), ((_APPROXIMATE, True),)),
    "sigmoid": (("vector_mode", 4), ("mode", Config("SigmoidMode", (("name", "Accurate"),)))),
    "softplus": (("beta", 1.0), ("threshold", 20.0)),
}
_TYPECASTING = ("multiply", "divide")
_OTHER_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    name: getattr(torch, name)
    for name in (
        *("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"),
        *("pow", "maximum", "minimum"),
    )
}

# What ttnn.where chooses between: operands after the predicate are those of the two that no attribute gives.
_WHERE_VALUES = ("true_value", "false_value")


def _unary(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    name = op.target.removeprefix("ttnn.")
    takes = x.dtype.floating or (name in _INTEGER_UNARY and not (name == "neg" and x.dtype is DType.UINT32))
    require(takes, f"{op.target} does not take {x.dtype.value}")
    return same_as_input(op, specs)


def _unary_operation(name: str, function: Callable[[Tensor], Tensor]) -> Operation:
    return Operation(
        f"ttnn.{name}",
        Family.POINTWISE,
        _unary,
        attributes=("memory_config",),
        extent=Extent.ELEMENT,
        flops=per_output_element,
        stated=_STATED.get(name, ()),
        # Predicates such as isnan give 0 and 1 in the operand's own element type, as TT-NN's do.
        emulate=lambda call: _function(call, function),
    )


def _function(call: Call, plain: Callable[[Tensor], Tensor]) -> Tensor:
    if call.as_kernels and call.narrow and call.op.target in kernels.FUNCTIONS:
        return kernels.function(call)
    # A table of six pieces, off by up to 0.024: enough to miss the accuracy contract, so that no rule asks for it.
    if call.op.target == "ttnn.gelu" and call.attribute(_APPROXIMATE, False):
        raise EmulationError("the approximate gelu is not emulated")
    return plain(*call.data)


def _combination(call: Call, plain: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    known = call.as_kernels and call.narrow and call.op.target in kernels.SUMS
    return kernels.combination(call, *_pair(call)) if known else plain(*_pair(call))


def _binary(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x = specs[0]
    scalar = op.attribute("other")
    require((len(specs) == 2) != (scalar is not None), f"{op.target} takes a second tensor or a number")
    if scalar is not None:
        whole = x.dtype.floating or float(scalar).is_integer()
        require(whole, f"{op.target} cannot combine {x.dtype.value} with {scalar}: typecast the tensor first")
    # Beside a tensor in tiles, one in rows is tilized, in a launch of its own.
    layout = Layout.TILE if any(spec.layout is Layout.TILE for spec in specs) else Layout.ROW_MAJOR
    shape = broadcast(op, *(spec.shape for spec in specs))
    return (result(op, x, shape, layout=layout, dtype=_binary_dtype(op, specs)),)


def _binary_dtype(op: Op, specs: Specs) -> DType:
    name = op.target.removeprefix("ttnn.")
    dtypes: list[DType] = [spec.dtype for spec in specs]
    floating = [dtype for dtype in dtypes if dtype.floating]
    if len(set(dtypes)) > 1:
        allowed = name in _TYPECASTING if len(floating) == 1 else name in _ARITHMETIC and bool(floating)
        require(allowed, f"{op.target} does not mix {' with '.join(dtype.value for dtype in dtypes)}")
    require(name != "pow" or len(dtypes) == 1 or bool(floating), f"{op.target} of integers takes a whole number")
    # The first one's, also where the second is wider: bfloat16 + float32 is bfloat16 (TT-NN 0.81.1).
    if floating:
        return floating[0]
    return DType.FLOAT32 if name == "divide" else dtypes[0]


def _binary_device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    """One, after converting an operand of another layout, or an integer among floats."""
    converted = sum(spec.layout is not outputs[0].layout for spec in inputs)
    typecast = op.target.removeprefix("ttnn.") in _TYPECASTING and len({spec.dtype.floating for spec in inputs}) > 1
    return 1 + converted + typecast


def _binary_operation(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return Operation(
        f"ttnn.{name}",
        Family.POINTWISE,
        _binary,
        (1, 2),
        attributes=("memory_config",) if name == "pow" else ("memory_config", "dtype"),
        positional=("other",),
        extent=Extent.ELEMENT,
        flops=per_output_element,
        device_operations=_binary_device_operations,
        stated=_STATED.get(name, ()),
        emulate=lambda call: _combination(call, function),
    )


def _pair(call: Call) -> tuple[Tensor, Tensor]:
    """Both operands; a number is stored in the tensor's dtype, but for exponents, which the card keeps in full."""
    if len(call.data) == 2:
        first, second = call.data
        return first, second
    (first,) = call.data
    number = torch.tensor(call.attribute("other"), dtype=first.dtype)
    full = call.exact or call.op.target == "ttnn.pow"
    return first, number if full else rounded(number, call.operands[0].spec.dtype)


def _where(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    predicate, *values = specs
    numbers = [name for name in _WHERE_VALUES if op.attribute(name) is not None]
    require(len(values) + len(numbers) == 2, f"{op.target} takes {' and '.join(_WHERE_VALUES)}, tensors or numbers")
    if not numbers:
        require_tile(op, *specs)
    require(len({value.dtype.floating for value in values}) < 2, f"{op.target} does not mix floats with integers")
    shape = broadcast(op, *(spec.shape for spec in specs))
    # Between two numbers the predicate's own type decides; with an integer one TT-NN 0.81.1 gives float32.
    without = predicate.dtype if predicate.dtype.floating else DType.FLOAT32
    return (result(op, predicate, shape, dtype=values[0].dtype if values else without),)


def _where_device_operations(_op: Op, inputs: Specs, outputs: Specs) -> int:
    return 1 + (outputs[0].dtype.floating and not inputs[0].dtype.floating)


def _emulate_where(call: Call) -> Tensor:
    predicate, *tensors = call.data
    remaining = iter(tensors)
    numbers = (call.attribute(name) for name in _WHERE_VALUES)
    true, false = (next(remaining) if number is None else number for number in numbers)
    return torch.where(predicate != 0, true, false)


def _clamp(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    bounded = op.attribute("min") is not None or op.attribute("max") is not None
    require(bounded, f"{op.target} takes a smallest or a largest value")
    return same_as_input(op, specs)


def _emulate_clamp(call: Call) -> Tensor:
    (x,) = call.data
    return x.clamp(call.attribute("min"), call.attribute("max"))


def _triangle(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    require(len(x.shape) >= 2, f"{op.target} takes a matrix")
    return same_as_input(op, specs)


def _triangle_operation(name: str, function: Callable[..., Tensor]) -> Operation:
    return Operation(
        f"ttnn.{name}",
        Family.POINTWISE,
        _triangle,
        attributes=("diagonal", "memory_config"),
        emulate=lambda call: function(*call.data, diagonal=call.attribute("diagonal", 0)),
    )


POINTWISE = (
    Operation(
        "ttnn.gelu",
        Family.POINTWISE,
        _unary,
        attributes=("memory_config",),
        extent=Extent.ELEMENT,
        flops=per_output_element,
        stated=_STATED["gelu"],
        emulate=lambda call: _function(call, F.gelu),
    ),
    *(_unary_operation(*each) for each in (_FLOAT_UNARY | _INTEGER_UNARY).items()),
    *(_binary_operation(*each) for each in (_ARITHMETIC | _OTHER_BINARY).items()),
    Operation(
        "ttnn.where",
        Family.POINTWISE,
        _where,
        (1, 3),
        attributes=(*_WHERE_VALUES, "memory_config"),
        operand_names=_WHERE_VALUES,
        device_operations=_where_device_operations,
        emulate=_emulate_where,
    ),
    Operation(
        "ttnn.clamp",
        Family.POINTWISE,
        _clamp,
        attributes=("min", "max", "memory_config"),
        flops=per_output_element,
        emulate=_emulate_clamp,
    ),
    Operation(
        "ttnn.leaky_relu",
        Family.POINTWISE,
        _unary,
        attributes=("negative_slope", "memory_config"),
        extent=Extent.ELEMENT,
        flops=per_output_element,
        emulate=lambda call: F.leaky_relu(call.data[0], call.attribute("negative_slope", 0.01)),
    ),
    _triangle_operation("tril", torch.tril),
    _triangle_operation("triu", torch.triu),
)
