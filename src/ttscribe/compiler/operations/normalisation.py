"""Normalisations and softmax, over the last dimension but for softmax's ``dim``."""

from __future__ import annotations

from math import prod

import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.operation import (
    BEST_FIDELITY,
    Extent,
    Family,
    Kernel,
    Operation,
    Specs,
    dimension,
    elements,
    keyword_spec,
    require,
    require_float,
    require_tile,
    result,
    same_as_input,
)
from ttscribe.compiler.program import TILE_SIZE, Config, Layout, Op, TensorSpec

# What one element costs: sums for mean and variance, subtract, scale, and the affine part.
_FLOPS_PER_ELEMENT = 5
# Mean and variance by two passes over a row; Welford's algorithm takes one.
_TWO_PASSES = Config("LayerNormDefaultProgramConfig", (("legacy_reduction", False), ("use_welford", False)))
# TT-NN's own default, where a call does not say; PyTorch's is 1e-5.
_EPSILON = 1e-12


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
    # A row-major row must be folded to the width of a tile: TT-NN takes [40, 32] for 1,280 elements and refuses [1280].
    last = width if row.layout is Layout.TILE else TILE_SIZE
    fits = prod(row.shape) == width and row.shape[-1] == last
    require(fits, f"{op.target} takes a {parameter} of {width} elements, {last} in its last dimension, not {row.shape}")


def _softmax(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    require_float(op, x)
    dimension(op, op.attribute("dim", -1), len(x.shape))
    return same_as_input(op, specs)


def _parts(call: Call) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What is normalised, and the rows that scale and shift it."""
    (x,) = call.data
    residual, weight, bias = (call.keyword(name) for name in ("residual_input_tensor", "weight", "bias"))
    x = x if residual is None else x + residual
    return x, None if weight is None else weight.flatten(), None if bias is None else bias.flatten()


def _emulate_layer_norm(call: Call) -> Tensor:
    x, weight, bias = _parts(call)
    return F.layer_norm(x, x.shape[-1:], weight, bias, call.attribute("epsilon", _EPSILON))


def _emulate_rms_norm(call: Call) -> Tensor:
    x, weight, bias = _parts(call)
    normed = F.rms_norm(x, x.shape[-1:], weight, call.attribute("epsilon", _EPSILON))
    return normed if bias is None else normed + bias


def _emulate_softmax(call: Call) -> Tensor:
    (x,) = call.data
    return x.softmax(call.attribute("dim", -1))


NORMALISATION = (
    *(
        Operation(
            name,
            Family.NORMALISATION,
            _norm,
            keywords=("weight", "bias", "residual_input_tensor"),
            attributes=("epsilon", "memory_config", "program_config", "compute_kernel_config"),
            extent=Extent.ROW,
            flops=_flops,
            kernel=Kernel(fidelity=BEST_FIDELITY),
            stated=(("program_config", _TWO_PASSES),),
            emulate=emulate,
        )
        for name, emulate in (("ttnn.layer_norm", _emulate_layer_norm), ("ttnn.rms_norm", _emulate_rms_norm))
    ),
    Operation(
        "ttnn.softmax",
        Family.NORMALISATION,
        _softmax,
        attributes=("dim", "numeric_stable", "memory_config", "compute_kernel_config"),
        flops=_flops,
        kernel=Kernel(fidelity=BEST_FIDELITY),
        # Without it the largest value of a row is not taken away first.
        stated=(("numeric_stable", True),),
        emulate=_emulate_softmax,
    ),
)
