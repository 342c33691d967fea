"""Functions of one number as a Wormhole core's vector unit computes them, in float32 unless a kernel does otherwise.

Which formula a kernel runs was found in recorded results of real kernels (TT-NN 0.81.1 on Tenstorrent's functional
simulator), which these give within one unit in the last place of bfloat16, the tables and fast exponential exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.program import Config
from ttscribe.errors import EmulationError

_LOG2E = 1 / log(2)
# A quadratic for 2**f that continues from one power of two to the next, f a fraction of 2**23 (Moroz et al. 2022).
_QUADRATIC = (1.0017248, 7.839635491371155e-08, 4.791750143340323e-15)
# 256 / ln 2, and 127 * 256 less what makes the error of straight lines between powers of two equal on both sides.
_LINE = (369.3299304675746, 32500.818359375)
# |x| from each of these on: slope and intercept of x * 0.5 + (slope |x| + intercept), as half-precision numbers.
_GELU_TABLE = (
    (0.0, 0.1927490234375, -0.00010442733764648438),
    (0.5, 0.493896484375, -0.160400390625),
    (1.0, 0.61865234375, -0.279541015625),
    (1.5, 0.60986328125, -0.263427734375),
    (2.0, 0.5400390625, -0.119384765625),
    (3.0, 0.5, 0.0),
)


def exponential(x: Tensor) -> Tensor:
    """The accurate exponential of kernels with bfloat16 operands; results below 2**-127 are zero."""
    fixed = ((x * _LOG2E + 127.0).clamp(0, 255).double() * 2**23).long()
    exponent, fraction = fixed >> 23, (fixed & 0x7FFFFF).float()
    constant, linear, square = _QUADRATIC
    return (constant + fraction * (linear + fraction * square)) * torch.pow(2.0, (exponent - 127).float())


def fast_exponential(x: Tensor) -> Tensor:
    """The fast exponential, as bfloat16: straight lines between powers of two, 0.977 at zero, up to 4 % off."""
    slope, constant = _LINE
    bits = (x.double() * slope + constant).round().clamp_(0, 0xFFFF).int() >> 1
    return (bits << 16).view(torch.float32)


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + exponential(-x))


def gelu(x: Tensor) -> Tensor:
    """GELU by the error function, rounded to float32 before one is added: values of large negative ``x`` hang on it."""
    # PyTorch's own in float32 is another one on each kind of CPU: at -5.3 half of the kernel's on one, all on another.
    erf = torch.erf(x.double() * sqrt(0.5)).float()
    return 0.5 * x * (1 + erf)


def gelu_table(x: Tensor) -> Tensor:
    """GELU by six straight lines of |x|, off by up to 0.024; what leaves the vector unit is cut to bfloat16."""
    bounds, slopes, intercepts = (torch.tensor(column) for column in zip(*_GELU_TABLE, strict=True))
    piece = torch.bucketize(x.abs(), bounds, right=True) - 1
    return cut(x * 0.5 + (slopes[piece] * x.abs() + intercepts[piece]))


def cut(data: Tensor) -> Tensor:
    """Float32 cut to bfloat16."""
    return (data.contiguous().view(torch.int32) & -(1 << 16)).view(torch.float32)


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def silu(x: Tensor) -> Tensor:
    return x * sigmoid(x)


# By the names that a product takes them by, and gelu_tanh, which only a configuration names.
_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_approx": gelu_table,
    "gelu_tanh": _gelu_tanh,
    "relu": F.relu,
    "silu": silu,
}


def activation(asked: str | Config, default_parameter: float = 0.0) -> Callable[[Tensor], Tensor]:
    """What an activation computes that a product or a convolution applies to its result.

    It is asked for by name, or as a UnaryWithParam, whose parameter GELU takes as whether to be approximate;
    ``default_parameter`` is what the kernel takes where none is given. EmulationError for one that is not emulated.
    """
    fields = {"op": asked} if isinstance(asked, str) else dict(asked.fields)
    name, parameter = str(fields["op"]).lower(), fields.get("param")
    if name == "gelu" and (default_parameter if parameter is None else parameter):
        name = "gelu_approx"
    if name not in _ACTIVATIONS:
        raise EmulationError(f"the activation {name} is not emulated")
    return _ACTIVATIONS[name]
