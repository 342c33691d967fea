"""Rounding as a card rounds: bfloat16, the block formats, and the mantissas that reach the multipliers."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.program import DType

BLOCK = 16
# Magnitude bits of an element; the leading bit is explicit, because the exponent is the block's largest.
_MAGNITUDE_BITS = {DType.BFLOAT8_B: 7, DType.BFLOAT4_B: 3}
_MANTISSA_BITS = 23
# Few enough to stay in a core's cache from one step to the next.
_BLOCKS_AT_ONCE = 1 << 13
_EXPONENT_BIAS = 127
_SMALLEST_NORMAL = 2.0**-126


def rounded(data: Tensor, dtype: DType, *, by_kernel: bool = False) -> Tensor:
    """``data`` (float32 or int64) with every value one that ``dtype`` can hold; may be ``data`` itself."""
    # Once, ties to even. TT-NN 0.81.1's kernels, as Tenstorrent's simulator ttsim 1.10 runs them, round products and
    # quotients of bfloat16 so, but sums twice, both times with ties away from zero.
    if dtype is DType.BFLOAT16:
        return data.bfloat16().float()
    if dtype in _MAGNITUDE_BITS:
        return _written_by_kernel(data, dtype) if by_kernel else block_rounded(data, _MAGNITUDE_BITS[dtype])
    if dtype.floating:
        return data
    return _wrapped(data, signed=dtype is DType.INT32)


def _wrapped(data: Tensor, *, signed: bool) -> Tensor:
    offset = 1 << 31 if signed else 0
    return ((data + offset) & 0xFFFFFFFF) - offset


def _written_by_kernel(data: Tensor, dtype: DType) -> Tensor:
    """A kernel rounds bfloat8_b with ties away from zero and cuts bfloat4_b off it; the host rounds ties to even."""
    wide = block_rounded(data, _MAGNITUDE_BITS[DType.BFLOAT8_B], _away)
    return wide if dtype is DType.BFLOAT8_B else block_rounded(wide, _MAGNITUDE_BITS[dtype], torch.trunc)


def _away(data: Tensor) -> Tensor:
    return torch.copysign(torch.floor(data.abs() + 0.5), data)


def block_rounded(data: Tensor, bits: int, rounding: Callable[[Tensor], Tensor] = torch.round) -> Tensor:
    """Round float32 to groups of 16 along the last dimension that share the exponent of the largest.

    As TT-NN's host conversion does it, bit for bit: magnitudes are aligned to the shared exponent by a shift that drops
    what leaves the 24-bit mantissa, then rounded to ``bits`` bits by ``rounding``, and held below 2 to the ``bits``.
    Subnormal values are zero; a block with an infinity keeps that and little else, and a NaN stays one.

    Weights are converted on the host. A kernel that writes a block format does it otherwise: in ttsim 1.10 it rounds
    bfloat8_b with ties away from zero, and cuts bfloat4_b.
    """
    if not data.dim():
        return block_rounded(data.reshape(1), bits, rounding).reshape(())
    width = data.shape[-1]
    padded = F.pad(data, (0, -width % BLOCK)) if width % BLOCK else data
    blocks = padded.reshape(-1, BLOCK)
    result = torch.empty_like(blocks)
    for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
        piece = slice(start, start + _BLOCKS_AT_ONCE)
        _round_blocks(blocks[piece], bits, rounding, out=result[piece])
    return result.reshape(padded.shape)[..., :width].contiguous()


def _round_blocks(blocks: Tensor, bits: int, rounding: Callable[[Tensor], Tensor], out: Tensor) -> None:
    # As integers, magnitudes of floats sort as the floats do.
    largest = (blocks.view(torch.int32) & 0x7FFFFFFF).amax(-1, keepdim=True)
    # Exponent bits 0 and 1 stand for the same power of two: subnormals have no leading bit.
    exponent = (largest >> _MANTISSA_BITS).clamp_(min=1)
    if ((largest > 0) & (exponent <= _MANTISSA_BITS)).any():
        blocks = torch.where(blocks.abs() < _SMALLEST_NORMAL, 0.0, blocks)
    torch.div(blocks, _power_of_two(exponent - _EXPONENT_BIAS - _MANTISSA_BITS), out=out)
    most = 2**bits - 1
    out.copy_(rounding(out.trunc_().mul_(2.0 ** (bits - 1 - _MANTISSA_BITS))).clamp_(-most, most))
    # TT-NN has no negative zero: adding zero to one makes it positive.
    out.mul_(_power_of_two(exponent - _EXPONENT_BIAS - bits + 1)).add_(0.0)


def _power_of_two(exponent: Tensor) -> Tensor:
    return torch.ldexp(torch.ones_like(exponent, dtype=torch.float64), exponent).float()


def truncated(data: Tensor, mantissa_bits: int) -> Tensor:
    """Float32 values cut toward zero to one leading and ``mantissa_bits`` more mantissa bits."""
    mask = -1 << (_MANTISSA_BITS - mantissa_bits)
    return (data.contiguous().view(torch.int32) & mask).view(torch.float32)
