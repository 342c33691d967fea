"""Element by element: of one tensor, of two, or a choice between two."""

from ttscribe.compiler.operations.operation import (
    Operation,
    Specs,
    broadcast,
    per_output_element,
    require,
    require_tile,
    result,
)
from ttscribe.compiler.program import DType, Layout, Op, TensorSpec

FLOAT_UNARY = (
    *("gelu", "silu", "tanh", "sigmoid", "exp", "exp2", "expm1", "log", "log2", "log1p", "sqrt", "rsqrt", "reciprocal"),
    *("sin", "cos", "tan", "erf", "floor", "ceil", "round", "trunc", "sign", "isfinite", "isnan", "isinf", "softplus"),
)
# These take int32 too; uint32 but for neg.
INTEGER_UNARY = ("relu", "neg", "abs", "square", "logical_not")

# Tensors of two floating-point dtypes mix in arithmetic only, and these two take an integer with a float.
ARITHMETIC = ("add", "subtract", "multiply", "divide", "rsub")
TYPECASTING = ("multiply", "divide")
COMPARISON = ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or")
OTHER_BINARY = ("pow", "maximum", "minimum")

# What ttnn.where chooses between: operands after the predicate are those of the two that no attribute gives.
WHERE_VALUES = ("true_value", "false_value")


def _unary(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    name = op.target.removeprefix("ttnn.")
    takes = x.dtype.floating or (name in INTEGER_UNARY and not (name == "neg" and x.dtype is DType.UINT32))
    require(takes, f"{op.target} does not take {x.dtype.value}")
    return (result(op, x, x.shape),)


def _binary(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x = specs[0]
    scalar = op.attribute("other")
    require((len(specs) == 2) != (scalar is not None), f"{op.target} takes a second tensor or a number")
    if scalar is not None:
        whole = x.dtype.floating or float(scalar).is_integer()
        require(whole, f"{op.target} cannot combine {x.dtype.value} with {scalar}: typecast the tensor first")
    layout = Layout.TILE if any(spec.layout is Layout.TILE for spec in specs) else Layout.ROW_MAJOR
    shape = broadcast(op, *(spec.shape for spec in specs))
    return (result(op, x, shape, layout=layout, dtype=_binary_dtype(op, specs)),)


def _binary_dtype(op: Op, specs: Specs) -> DType:
    name = op.target.removeprefix("ttnn.")
    dtypes: list[DType] = [spec.dtype for spec in specs]
    floating = [dtype for dtype in dtypes if dtype.floating]
    mixed = len(set(dtypes)) > 1
    if mixed:
        allowed = name in TYPECASTING if len(floating) == 1 else name in ARITHMETIC and bool(floating)
        require(allowed, f"{op.target} does not mix {' with '.join(dtype.value for dtype in dtypes)}")
    require(name != "pow" or len(dtypes) == 1 or bool(floating), f"{op.target} of integers takes a whole number")
    if floating:
        return floating[0]
    return DType.FLOAT32 if name == "divide" else dtypes[0]


def _binary_device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    """One, after converting an operand of another layout, or an integer among floats."""
    converted = sum(spec.layout is not outputs[0].layout for spec in inputs)
    typecast = op.target.removeprefix("ttnn.") in TYPECASTING and len({spec.dtype.floating for spec in inputs}) > 1
    return 1 + converted + typecast


def _where(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    predicate, *values = specs
    numbers = [name for name in WHERE_VALUES if op.attribute(name) is not None]
    require(len(values) + len(numbers) == 2, f"{op.target} takes {' and '.join(WHERE_VALUES)}, tensors or numbers")
    if not numbers:
        require_tile(op, *specs)
    require(len({value.dtype.floating for value in values}) < 2, f"{op.target} does not mix floats with integers")
    shape = broadcast(op, *(spec.shape for spec in specs))
    without = predicate.dtype if predicate.dtype.floating else DType.FLOAT32
    return (result(op, predicate, shape, dtype=values[0].dtype if values else without),)


def _where_device_operations(_op: Op, inputs: Specs, outputs: Specs) -> int:
    return 1 + (outputs[0].dtype.floating and not inputs[0].dtype.floating)


def _clamp(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    bounded = op.attribute("min") is not None or op.attribute("max") is not None
    require(bounded, f"{op.target} takes a smallest or a largest value")
    return (result(op, x, x.shape),)


def _triangle(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    require(len(x.shape) >= 2, f"{op.target} takes a matrix")
    return (result(op, x, x.shape),)


def _binary_operation(name: str) -> Operation:
    asked = ("memory_config",) if name == "pow" else ("memory_config", "dtype")
    return Operation(
        f"ttnn.{name}",
        _binary,
        (1, 2),
        attributes=asked,
        positional=("other",),
        flops=per_output_element,
        device_operations=_binary_device_operations,
    )


POINTWISE = (
    *(
        Operation(
            f"ttnn.{name}",
            _unary,
            attributes=("memory_config", "fast_and_approximate_mode") if name == "gelu" else ("memory_config",),
            flops=per_output_element,
        )
        for name in FLOAT_UNARY + INTEGER_UNARY
    ),
    *(_binary_operation(name) for name in ARITHMETIC + COMPARISON + OTHER_BINARY),
    Operation(
        "ttnn.where",
        _where,
        (1, 3),
        attributes=(*WHERE_VALUES, "memory_config"),
        operand_names=WHERE_VALUES,
        device_operations=_where_device_operations,
    ),
    Operation("ttnn.clamp", _clamp, attributes=("min", "max", "memory_config"), flops=per_output_element),
    Operation("ttnn.tril", _triangle, attributes=("diagonal", "memory_config")),
    Operation("ttnn.triu", _triangle, attributes=("diagonal", "memory_config")),
)
