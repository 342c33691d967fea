"""Matrix products and convolution, with the multipliers' precision.

A Wormhole multiplier takes 5 mantissa bits of SrcA and 7 of SrcB (hidden bit included) per pass, and in a product the
first operand goes to SrcB, the second to SrcA (tt-metal, ``tech_reports/matrix_engine/matrix_engine.md``). Math
fidelity is the number of passes: LoFi has the high parts only, HiFi2 adds SrcA's low part, HiFi3 SrcB's, HiFi4 the
product of both low parts. Sums here are float32 with one rounding at the end: accumulation in a 16-bit destination is
not modelled, nor is the cut of float32 operands to the 19 bits that a source register holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.matmul import conv1d_length
from ttscribe.compiler.program import DType
from ttscribe.devices.emulator.rounding import rounded, truncated
from ttscribe.devices.emulator.tensors import Call, EmulationError

Bilinear: TypeAlias = Callable[[Tensor, Tensor], Tensor]

# Mantissa bits of a pass, without the hidden one.
_FIRST_BITS, _SECOND_BITS = 6, 4


def product(multiply: Bilinear, first: Tensor, second: Tensor, fidelity: str) -> Tensor:
    """``multiply(first, second)`` as a matrix engine of that fidelity gives it; ``multiply`` is linear in both."""
    if fidelity == "HiFi4":
        return multiply(first, second)
    high = truncated(first, _FIRST_BITS)
    if fidelity == "HiFi2":
        return multiply(high, second)
    second_high = truncated(second, _SECOND_BITS)
    if fidelity == "LoFi":
        return multiply(high, second_high)
    if fidelity == "HiFi3":
        return multiply(first, second) - multiply(first - high, second - second_high)
    raise EmulationError(f"there is no math fidelity {fidelity}")


def _gelu(x: Tensor) -> Tensor:
    return F.gelu(x)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"gelu": _gelu, "relu": F.relu, "silu": F.silu}


def _matmul(call: Call) -> Tensor:
    """TT-NN multiplies in HiFi2 when nothing is said, but in LoFi when it is given a grid."""
    first, second = call.data
    if call.attribute("transpose_a", False):
        first = first.mT
    if call.attribute("transpose_b", False):
        second = second.mT
    placed = call.attribute("core_grid") is not None or call.attribute("program_config") is not None
    result = product(torch.matmul, first, second, call.fidelity("LoFi" if placed else "HiFi2"))
    bias = call.keyword("bias")
    if bias is not None:
        result += bias.flatten()
    activation = call.attribute("activation")
    if activation is None:
        return result
    if not placed:
        # Without a grid the activation is an operation of its own, on what the product has stored.
        result = call.rounded(result, call.attribute("dtype", call.operands[0].spec.dtype))
    return ACTIVATIONS[activation](result)


def _conv1d(call: Call) -> Tensor:
    x, weight = call.data
    batch, length = call.attribute("batch_size"), call.attribute("input_length")
    signals = x.reshape(batch, length, -1).mT
    padding = call.attribute("padding", 0)
    if isinstance(padding, tuple):
        signals, padding = F.pad(signals, padding), 0
    config: dict[str, object] = dict(getattr(call.attribute("conv_config"), "fields", ()))

    def convolve(first: Tensor, second: Tensor) -> Tensor:
        stride, dilation = call.attribute("stride", 1), call.attribute("dilation", 1)
        return F.conv1d(first, second, None, stride, padding, dilation, call.attribute("groups", 1))

    weight = _prepared(call, weight, config.get("weights_dtype"))
    result = product(convolve, signals, weight, call.fidelity("HiFi4", "compute_config"))
    bias = call.keyword("bias_tensor")
    if bias is not None:
        result += bias.reshape(-1, 1)
    activation = config.get("activation")
    if activation is not None:
        result = ACTIVATIONS[str(activation)](result)
    return result.mT.reshape(1, 1, batch * conv1d_length(call.op), -1)


def _prepared(call: Call, weight: Tensor, dtype: object) -> Tensor:
    """The weight as the convolution stores it: a matrix of [kernel x input, output] channels."""
    if call.exact or not isinstance(dtype, DType):
        return weight
    return rounded(weight.permute(2, 1, 0).contiguous(), dtype).permute(2, 1, 0)


PRODUCTS: dict[str, Callable[[Call], Tensor]] = {
    "ttnn.linear": _matmul,
    "ttnn.matmul": _matmul,
    "ttnn.conv1d": _conv1d,
}
