"""Sums and products as a Wormhole core's matrix engine computes them.

A multiplier takes 7 significant bits of one operand (SrcB: a product's first) by 5 of the other (SrcA) in a pass, and
math fidelity is the number of passes: LoFi has the high parts only, HiFi2 adds the second operand's low part, HiFi3 the
first's, HiFi4 the product of both low parts. How passes are added up, and where they are rounded, ``engine_loops``
says; it was found in recorded results of real kernels, and gives each of them bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.program import TILE_SIZE, Config
from ttscribe.errors import DeviceUnavailable, EmulationError, with_extra

PASSES = {"LoFi": 1, "HiFi2": 2, "HiFi3": 3, "HiFi4": 4}
# Of values above, the powers of two that stand for exponents would leave float32's range.
_LARGEST = 2.0**62
_BITS_AFTER_8, _EXPONENT = 0x8000, 0x7F800000


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How the engine is configured for a call: passes, 32-bit destinations or 16, blocks added up in L1 or not."""

    passes: int
    wide: bool = False
    in_l1: bool = True

    @classmethod
    def of(cls, call: Call, fidelity: str, attribute: str = "compute_kernel_config") -> Arithmetic:
        """What the call's own configuration says; ``fidelity`` where there is none: TT-NN chooses it by operation."""
        config: Config | None = call.attribute(attribute)
        fields: dict[str, Any] = {} if config is None else dict(config.fields)
        name = str(fields.get("math_fidelity", fidelity))
        if name not in PASSES:
            raise EmulationError(f"there is no math fidelity {name}")
        return cls(PASSES[name], bool(fields.get("fp32_dest_acc_en", False)), bool(fields.get("packer_l1_acc", True)))


def product(
    first: Tensor, second: Tensor, how: Arithmetic, block: int | None = None, *, ends_in_l1: bool = False
) -> Tensor:
    """``first`` [..., M, K] by ``second`` [..., K, N], float32 that holds what 16- or 32-bit destinations would.

    Blocks of ``block`` tiles (all, where it is None) are added up in L1 where ``how`` says so, the last too where it
    ``ends_in_l1``, as it does before a bias is added. Leading dimensions broadcast; where ``second`` has none, all rows
    are one matrix. Where a value cannot be aligned (from 2**56 on, infinite, or not a number), PyTorch multiplies.
    """
    depth = -first.shape[-1] % TILE_SIZE
    if depth:
        first, second = F.pad(first, (0, depth)), F.pad(second, (0, 0, 0, depth))
    block = block or second.shape[-2] // TILE_SIZE
    arguments = (how.passes, how.wide, block, how.in_l1, ends_in_l1)
    # The shape of a product of tensors that hold nothing.
    out = torch.empty(torch.matmul(first.to("meta"), second.to("meta")).shape)
    leading = out.shape[:-2]
    if prod(second.shape[:-2]) == 1:
        matrices = [(first.flatten(0, -2), second.flatten(0, -2), out.flatten(0, -2))]
    else:
        parts = (part.expand(*leading, *part.shape[-2:]).flatten(0, -3) for part in (first, second, out))
        matrices = list(zip(*parts, strict=True))
    return out if _multiply(matrices, arguments) else torch.matmul(first, second)


def _multiply(matrices: list[tuple[Tensor, Tensor, Tensor]], arguments: tuple[Any, ...]) -> bool:
    """Fill each third matrix; False where a value cannot be aligned.

    Pieces of 32 rows by 64 columns are shared among PyTorch's threads.
    """
    loops = _loops()
    pieces = [
        (first[row : row + loops.ROWS], second, column, out[row : row + loops.ROWS, column : column + loops.COLUMNS])
        for first, second, out in ((a.contiguous().numpy(), b.contiguous().numpy(), c.numpy()) for a, b, c in matrices)
        for column in range(0, out.shape[1], loops.COLUMNS)
        for row in range(0, out.shape[0], loops.ROWS)
    ]
    threads = min(torch.get_num_threads(), len(pieces))

    def multiply(start: int) -> bool:
        return all(
            loops.product(first, second, column, out, *arguments)
            for first, second, column, out in pieces[start::threads]
        )

    if threads == 1:
        return multiply(0)
    with ThreadPoolExecutor(threads) as pool:
        return all(pool.map(multiply, range(threads)))


@cache
def _loops() -> Any:
    """The loops, which Numba compiles when they are first imported; DeviceUnavailable where it is not installed."""
    try:
        from ttscribe.compiler.operations import engine_loops
    except ModuleNotFoundError as error:
        if error.name not in ("numba", "llvmlite"):
            raise
        raise DeviceUnavailable(
            f"emulating the kernels needs Numba: {with_extra('emulator')} (--device emulator does without)"
        ) from None
    return engine_loops


def power(data: Tensor) -> Tensor:
    """The power of two at or below each magnitude; of zero, one too small to align anything to."""
    return (data.contiguous().view(torch.int32) & _EXPONENT).view(torch.float32).clamp_(2.0**-50, _LARGEST)


def away(data: Tensor) -> Tensor:
    """Float32 rounded to bfloat16 with ties away from zero, as the engine and the packer round."""
    return ((data.contiguous().view(torch.int32) + _BITS_AFTER_8) & -(1 << 16)).view(torch.float32)


def _whole(data: Tensor) -> Tensor:
    """The nearest whole number, ties away from zero."""
    return torch.copysign(torch.floor(data.abs() + 0.5), data)


def sums(first: Tensor, second: Tensor) -> Tensor:
    """Sums of bfloat16 tensors that broadcast: the smaller is aligned to 11 bits of the larger, then 8 are kept.

    Where either is infinite, or above 2**62, the sum is PyTorch's.
    """
    unit = torch.maximum(power(first), power(second)) / 1024.0
    total = away((_whole(first / unit) + _whole(second / unit)) * unit)
    plain = (first.abs() >= _LARGEST) | (second.abs() >= _LARGEST)
    return torch.where(plain, first + second, total) if bool(plain.any()) else total


def multiplied(first: Tensor, second: Tensor, passes: int) -> Tensor:
    """Products of bfloat16 tensors, element by element, in 16-bit destinations.

    ``first`` goes to SrcA, where a matrix product's second operand goes.
    """
    powers = power(first) * power(second)
    held = torch.zeros(())
    for high_or_low_second, high_or_low_first, scale in _parts(first, second, passes):
        unit = powers * (scale / 1024.0)
        part = _whole(high_or_low_first * high_or_low_second / unit) * unit
        aligned = torch.maximum(powers * scale, power(held)) / 1024.0
        held = away((torch.floor(part / aligned + 0.5) + _whole(held / aligned)) * aligned)
    return held


def _parts(first: Tensor, second: Tensor, passes: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """What each pass multiplies, of SrcB and of SrcA, and its power of two."""
    firsts, seconds = _high_and_low(first, 4), _high_and_low(second, 6)
    for part in range(passes):
        yield seconds[part // 2], firsts[part % 2], 2.0 ** (-7 * (part // 2) - 5 * (part % 2))


def _high_and_low(data: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    high = (data.contiguous().view(torch.int32) & (-1 << (23 - bits))).view(torch.float32)
    return high, data - high
