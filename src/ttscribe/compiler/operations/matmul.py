"""Matrix products, with the multipliers' precision.

A Wormhole multiplier takes 5 mantissa bits of SrcA and 7 of SrcB (hidden bit included) per pass, and in a product the
first operand goes to SrcB, the second to SrcA (tt-metal, ``tech_reports/matrix_engine/matrix_engine.md``). Math
fidelity is the number of passes: LoFi has the high parts only, HiFi2 adds SrcA's low part, HiFi3 SrcB's, HiFi4 the
product of both low parts. Sums here are float32 with one rounding at the end: accumulation in a 16-bit destination is
not modelled, nor is the cut of float32 operands to the 19 bits that a source register holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations import kernels
from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.operation import (
    Extent,
    Family,
    Kernel,
    Operation,
    Specs,
    fused_activation,
    keyword_spec,
    require,
    require_float,
    require_tile,
    result,
)
from ttscribe.compiler.operations.rounding import truncated
from ttscribe.compiler.program import DRAM, Op, TensorSpec
from ttscribe.errors import EmulationError

Bilinear: TypeAlias = Callable[[Tensor, Tensor], Tensor]

# TT-NN's names. "gelu" is the accurate function; the table, off by up to 0.024, is called "gelu_approx".
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}
# Mantissa bits of a pass, without the hidden one.
_FIRST_BITS, _SECOND_BITS = 6, 4


def multiplied(multiply: Bilinear, first: Tensor, second: Tensor, fidelity: str) -> Tensor:
    """``multiply(first, second)`` as a matrix engine of that fidelity gives it; ``multiply`` is linear in both."""
    if fidelity == "HiFi4":
        return multiply(first, second)
    # Of bfloat16's 8 bits the first operand has 7 in its high part, the second 5: what HiFi2 leaves out is one bit of
    # the first, while LoFi loses three of the second as well.
    high = truncated(first, _FIRST_BITS)
    if fidelity == "HiFi2":
        return multiply(high, second)
    second_high = truncated(second, _SECOND_BITS)
    if fidelity == "LoFi":
        return multiply(high, second_high)
    # All but the product of both low parts.
    if fidelity == "HiFi3":
        return multiply(first, second) - multiply(first - high, second - second_high)
    raise EmulationError(f"there is no math fidelity {fidelity}")


def _transposed(shape: Sequence[int], transpose: bool) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2]) if transpose else tuple(shape)


def _leading(op: Op, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """Leading dimensions of a product: only all-one leading dimensions broadcast."""
    # PyTorch broadcasts [3, 64, 64] and [2, 3, 64, 32]; TT-NN 0.81.1 refuses them.
    if prod(right) == 1:
        return (1,) * (len(right) - len(left)) + left
    same = len(left) == len(right) and (left == right or prod(left) == 1)
    require(same, f"{op.target} does not broadcast the leading dimensions {left} and {right}")
    return right


def _product(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x, weight = specs[0], specs[1]
    require_tile(op, x, weight)
    require_float(op, x, weight)
    require(min(len(x.shape), len(weight.shape)) >= 2, f"{op.target} takes tensors of at least two dimensions")
    left = _transposed(x.shape, op.attribute("transpose_a", False))
    right = _transposed(weight.shape, op.attribute("transpose_b", False))
    require(left[-1] == right[-2], f"{op.target} cannot multiply {left} by {right}: inner dimensions differ")
    activation = op.attribute("activation")
    require(activation is None or activation in ACTIVATIONS, f"{op.target} has no activation {activation!r}")
    # The element type is the first operand's: bfloat8_b activations give a bfloat8_b result unless the call says
    # otherwise.
    return (result(op, x, (*_leading(op, left[:-2], right[:-2]), left[-2], right[-1]), memory=DRAM),)


def _linear(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (output,) = _product(op, specs)
    bias = keyword_spec(op, specs, "bias")
    if bias is not None:
        require_tile(op, bias)
        row = bias.shape[-1] == output.shape[-1] and prod(bias.shape) == output.shape[-1]
        require(row, f"{op.target} takes a bias of one row of {output.shape[-1]}, not {bias.shape}")
    return (output,)


def _terms(op: Op, inputs: Specs, _outputs: Specs) -> int:
    return int(inputs[0].shape[-2 if op.attribute("transpose_a", False) else -1])


def _is_placed(op: Op) -> bool:
    """With a grid or a program configuration, a product applies its activation itself."""
    return op.attribute("core_grid") is not None or op.attribute("program_config") is not None


def _fused(op: Op) -> str | None:
    """The activation that a program configuration asks for, by the name that ``activation`` takes."""
    asked = fused_activation(op)
    if asked is None:
        return None
    name = str(asked["op"]).lower()
    # GELU's parameter says whether to be approximate.
    if name not in ACTIVATIONS or dict(asked.fields).get("param"):
        raise EmulationError(f"{op.target} is not emulated with the activation {asked}")
    return name


def _device_operations(op: Op, inputs: Specs, _outputs: Specs) -> int:
    """An activation may be a launch of its own; a product of several matrices leaves the bias to another."""
    activates = op.attribute("activation") is not None and not _is_placed(op)
    return 1 + activates + (op.keyword("bias") is not None and prod(inputs[1].shape[:-2]) > 1)


def _emulate(call: Call) -> Tensor:
    """TT-NN multiplies in HiFi2 when nothing is said, but in LoFi when it is given a grid."""
    if call.as_kernels:
        return kernels.products(call)
    first, second = call.data
    if call.attribute("transpose_a", False):
        first = first.mT
    if call.attribute("transpose_b", False):
        second = second.mT
    placed = _is_placed(call.op)
    # A finished program relies on neither default: passes say the fidelity of every product.
    product = multiplied(torch.matmul, first, second, call.fidelity("LoFi" if placed else "HiFi2"))
    bias = call.keyword("bias")
    if bias is not None:
        product += bias.flatten()
    activation = call.attribute("activation") or _fused(call.op)
    if activation is None:
        return product
    if not placed:
        # The activation is then an operation of its own, on what the product has stored.
        product = call.rounded(product, call.attribute("dtype", call.operands[0].spec.dtype))
    return ACTIVATIONS[activation](product)


_ATTRIBUTES = (
    *("transpose_a", "transpose_b", "activation", "core_grid", "program_config", "compute_kernel_config"),
    *("dtype", "memory_config"),
)

MATMUL = tuple(
    Operation(
        name,
        Family.MATMUL,
        infer_specs,
        (2, 2),
        keywords=keywords,
        attributes=_ATTRIBUTES,
        extent=extent,
        terms=_terms,
        device_operations=_device_operations,
        kernel=Kernel(on_grid=True),
        emulate=_emulate,
    )
    for name, infer_specs, keywords, extent in (
        ("ttnn.linear", _linear, ("bias",), Extent.ROW),
        # Its second operand may have as many matrices as the first.
        ("ttnn.matmul", _product, (), Extent.TENSOR),
    )
)
