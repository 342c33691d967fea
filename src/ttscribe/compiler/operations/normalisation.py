"""Normalisations and softmax, over the last dimension but for softmax's ``dim``."""

from math import prod

from ttscribe.compiler.operations.operation import (
    Operation,
    Specs,
    dimension,
    elements,
    keyword_spec,
    require,
    require_float,
    require_tile,
    result,
)
from ttscribe.compiler.program import TILE_SIZE, Layout, Op, TensorSpec

# What one element costs: sums for mean and variance, subtract, scale, and the affine part.
_FLOPS_PER_ELEMENT = 5


def _flops(_op: Op, _inputs: Specs, outputs: Specs) -> int:
    return _FLOPS_PER_ELEMENT * elements(outputs[0])


def _norm(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x = specs[0]
    require_float(op, x)
    for parameter in ("weight", "bias"):
        row = keyword_spec(op, specs, parameter)
        if row is not None:
            _require_row(op, parameter, row, x.shape[-1])
    residual = keyword_spec(op, specs, "residual_input_tensor")
    require(residual is None or residual.shape == x.shape, f"{op.target} takes a residual of shape {x.shape}")
    return (result(op, x, x.shape),)


def _require_row(op: Op, parameter: str, row: TensorSpec, width: int) -> None:
    last = width if row.layout is Layout.TILE else TILE_SIZE
    fits = prod(row.shape) == width and row.shape[-1] == last
    require(fits, f"{op.target} takes a {parameter} of {width} elements, {last} in its last dimension, not {row.shape}")


def _softmax(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    require_float(op, x)
    dimension(op, op.attribute("dim", -1), len(x.shape))
    return (result(op, x, x.shape),)


NORMALISATION = (
    *(
        Operation(
            name,
            _norm,
            keywords=("weight", "bias", "residual_input_tensor"),
            attributes=("epsilon", "memory_config", "program_config", "compute_kernel_config"),
            flops=_flops,
        )
        for name in ("ttnn.layer_norm", "ttnn.rms_norm")
    ),
    Operation(
        "ttnn.softmax",
        _softmax,
        attributes=("dim", "numeric_stable", "memory_config", "compute_kernel_config"),
        flops=_flops,
    ),
)
