"""The innermost loops of ``engine``: products as a Wormhole core's matrix engine adds them up, compiled by Numba.

What is computed was found in recorded results of real kernels (TT-NN 0.81.1 on Tenstorrent's functional simulator) and
gives each of them bit for bit:

* Operands reach the multipliers in parts: a step takes the high or low bits of each, by powers of two apart.
* A step adds 16 products to the destination, in two groups of 8. In a group each product is rounded to a multiple of
  2**-10 of the largest operands' power of two among the 8, ties away from zero.
* Both groups and the destination are aligned to the largest of the three: to 11 bits where the destination has 16, to
  24 where it has 32. A group's ties go up; the destination's go away from zero, or are cut. The sum is rounded to 8
  bits, ties away, or cut to 24.

Powers of two stand for exponents: products and maxima of floats are as fast as sums and maxima of integers, and
rounding to a multiple of one is a multiplication. Everything is laid out for vectors over the columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

ROWS, COLUMNS = 32, 64
_TILE, _GROUP = 32, 8
_GROUPS = _TILE // _GROUP
_f32, _i32 = np.float32, np.int32

# Beyond these a product of two powers and of the parts' scales could leave float32's range.
SMALLEST_POWER, LARGEST_POWER = 2.0**-50, 2.0**62
_HALF_AS_INTEGER = 0x3F000000
_SIGN, _EXPONENT = -(1 << 31), 0x7F800000
# Kept of a float's integer: 7 significant bits of the first operand's high part, 5 of the second's.
_FIRST_HIGH, _SECOND_HIGH = -(1 << 17), -(1 << 19)
_SECOND_SCALE, _FIRST_SCALE = 2.0**-5, 2.0**-7
# 1.5 * 2**23: a float next to it counts whole numbers in its last bits. Eight of its integers, in 32 bits.
_ROUNDING, _EIGHT_ROUNDINGS = 12582912.0, 8 * 0x4B400000 % (1 << 32)
_JUST_ABOVE_1024 = 1024.0 * (1 + 2.0**-14)
_TWICE_ONE = 2 * 0x3F800000


def _bitcast(source: Any, target: Any, width: ir.Type) -> Any:
    """A function that reads a number's bits as another type's; Numba has none that it compiles to nothing."""

    def typed(_context: Any, _number: Any) -> Any:
        return target(source), lambda _target, builder, _signature, arguments: builder.bitcast(arguments[0], width)

    return intrinsic(typed)


_as_int = _bitcast(types.float32, types.int32, ir.IntType(32))
_as_float = _bitcast(types.int32, types.float32, ir.FloatType())
F = TypeVar("F", bound=Callable[..., Any])
# Numba's decorators are untyped.
_compiled = cast("Callable[[F], F]", njit(inline="always"))
_loop = cast(
    "Callable[[F], F]",
    njit(nogil=True, cache=True, error_model="numpy", fastmath={"nsz", "contract"}, boundscheck=False),
)


@_compiled
def _to_8_bits(number: Any) -> Any:
    """Rounded to bfloat16, ties away from zero."""
    return _as_float((_as_int(number) + _i32(0x8000)) & _i32(-65536))


@_compiled
def _power(number: Any) -> Any:
    """The power of two at or below a magnitude."""
    return _as_float(_as_int(number) & _i32(_EXPONENT))


@_compiled
def _whole(number: Any) -> Any:
    """The nearest whole number, ties away from zero, of magnitudes below 2**22."""
    half = _as_float((_as_int(number) & _i32(_SIGN)) | _i32(_HALF_AS_INTEGER))
    return _f32(_i32(number + half))


@_compiled
def _to_24_bits(number: Any) -> Any:
    """A whole number cut to a float's significant bits."""
    nearest = _f32(number)
    return _as_float(_i32(_as_int(nearest) - _i32(abs(_i32(nearest)) > abs(number))))


@_loop
def _split(data: Any, at: int, columns: int, high_bits: int, high: Any, low: Any, power: Any) -> None:
    for row in range(data.shape[0]):
        for column in range(columns):
            number = data[row, at + column]
            high[row, column] = _as_float(_as_int(number) & _i32(high_bits))
            low[row, column] = number - high[row, column]
            power[row, column] = min(max(_power(number), _f32(SMALLEST_POWER)), _f32(LARGEST_POWER))


@_compiled
def _largest(
    p0: Any, p1: Any, p2: Any, p3: Any, p4: Any, p5: Any, p6: Any, p7: Any, second: Any, k: int, n: int
) -> Any:
    """The largest power of two of a group's eight products."""
    low = max(p0 * second[k, n], p1 * second[k + 1, n], p2 * second[k + 2, n], p3 * second[k + 3, n])
    high = max(p4 * second[k + 4, n], p5 * second[k + 5, n], p6 * second[k + 6, n], p7 * second[k + 7, n])
    return max(low, high)


@_compiled
def _inverse(power: Any) -> Any:
    """One by a power of two."""
    return _as_float(_i32(_TWICE_ONE) - _as_int(power))


@_compiled
def _rounded(first: Any, second: Any, scale: Any) -> Any:
    """A product in whole multiples, ties away from zero, as the integer of a float that counts from _ROUNDING.

    A product has 12 significant bits: ``scale`` is larger by a 2**14th, so that nothing but a tie passes one.
    """
    return _as_int(first * second * scale + _f32(_ROUNDING))


@_compiled
def _summed(
    a0: Any, a1: Any, a2: Any, a3: Any, a4: Any, a5: Any, a6: Any, a7: Any, second: Any, k: int, n: int, scale: Any
) -> Any:
    """A group's eight products, summed as whole multiples of 1 / ``scale``."""
    low = _rounded(a0, second[k, n], scale) + _rounded(a1, second[k + 1, n], scale)
    low += _rounded(a2, second[k + 2, n], scale) + _rounded(a3, second[k + 3, n], scale)
    high = _rounded(a4, second[k + 4, n], scale) + _rounded(a5, second[k + 5, n], scale)
    high += _rounded(a6, second[k + 6, n], scale) + _rounded(a7, second[k + 7, n], scale)
    # Eight times the integer of _ROUNDING passes 32 bits, and subtracting it comes back.
    return _f32(_i32(_i32(low + high) - _i32(_EIGHT_ROUNDINGS)))


@_loop
def _powers(first: Any, second: Any, out: Any) -> None:
    """The largest power of two of each group's products: [4 groups, columns]."""
    for group in range(_GROUPS):
        k = group * _GROUP
        p0, p1, p2, p3 = first[k], first[k + 1], first[k + 2], first[k + 3]
        p4, p5, p6, p7 = first[k + 4], first[k + 5], first[k + 6], first[k + 7]
        for n in range(COLUMNS):
            out[group, n] = _largest(p0, p1, p2, p3, p4, p5, p6, p7, second, k, n)


@_loop
def _step(
    first: Any, second: Any, k: int, power0: Any, power1: Any, part: Any, wide: bool, sums: Any, out: Any
) -> None:
    """Add 16 products to the destination, for every column. ``part`` is the power of two of the parts taken."""
    # Scalars by name, and no inner loop: so the compiler makes vectors over the columns.
    a0, a1, a2, a3 = first[k], first[k + 1], first[k + 2], first[k + 3]
    a4, a5, a6, a7 = first[k + 4], first[k + 5], first[k + 6], first[k + 7]
    b0, b1, b2, b3 = first[k + 8], first[k + 9], first[k + 10], first[k + 11]
    b4, b5, b6, b7 = first[k + 12], first[k + 13], first[k + 14], first[k + 15]
    sums0, sums1 = sums[0], sums[1]
    for n in range(COLUMNS):
        sums0[n] = _summed(
            a0, a1, a2, a3, a4, a5, a6, a7, second, k, n, _f32(_JUST_ABOVE_1024) * _inverse(power0[n] * part)
        )
        sums1[n] = _summed(
            b0, b1, b2, b3, b4, b5, b6, b7, second, k + 8, n, _f32(_JUST_ABOVE_1024) * _inverse(power1[n] * part)
        )
    if wide:
        _add_32(sums0, sums1, power0, power1, part, out)
    else:
        _add_16(sums0, sums1, power0, power1, part, out)


@_loop
def _add_16(sums0: Any, sums1: Any, powers0: Any, powers1: Any, part: Any, out: Any) -> None:
    for n in range(COLUMNS):
        power0, power1, held = powers0[n] * part, powers1[n] * part, out[n]
        aligned = max(power0, power1, _power(held))
        inverse = _inverse(aligned)
        whole = np.floor(sums0[n] * (power0 * inverse) + _f32(0.5))
        whole += np.floor(sums1[n] * (power1 * inverse) + _f32(0.5))
        whole += _whole(held * inverse * _f32(1024.0))
        out[n] = _to_8_bits(whole * (aligned * _f32(1.0 / 1024.0)))


@_loop
def _add_32(sums0: Any, sums1: Any, powers0: Any, powers1: Any, part: Any, out: Any) -> None:
    for n in range(COLUMNS):
        power0, power1, held = powers0[n] * part, powers1[n] * part, out[n]
        aligned = max(power0, power1, _power(held))
        inverse = _inverse(aligned)
        # A group's sum has 16 significant bits: where float32 has no room for the half, it is whole already.
        whole = _i32(np.floor(sums0[n] * (power0 * inverse * _f32(8192.0)) + _f32(0.5)))
        whole += _i32(np.floor(sums1[n] * (power1 * inverse * _f32(8192.0)) + _f32(0.5)))
        whole = _i32(whole + _i32(held * inverse * _f32(2.0**23)))
        out[n] = _to_24_bits(whole) * _f32(2.0**-23) * aligned


@_loop
def product(
    first: Any, second: Any, at: int, out: Any, passes: int, wide: bool, block: int, in_l1: bool, ends_in_l1: bool
) -> None:
    """``first`` [rows, K] by up to 64 columns of ``second`` [K, N] from ``at`` on, into ``out``; K in whole tiles.

    All is float32; ``first`` and ``second`` are contiguous.

    ``passes`` is the fidelity, 1 to 4; ``wide`` asks for 32-bit destinations. With ``in_l1`` and 16 bits, blocks of
    ``block`` tiles start from zero and are added up in L1, ties to even; the last goes on from their sum in the
    destination unless it ``ends_in_l1`` too.
    """
    rows, depth, columns = first.shape[0], first.shape[1], out.shape[1]
    # Each of its own, not parts of one array: only what is known to be contiguous is read in vectors.
    first_high, first_low = np.empty((rows, depth), _f32), np.empty((rows, depth), _f32)
    first_power = np.empty((rows, depth), _f32)
    second_high, second_low = np.zeros((_TILE, COLUMNS), _f32), np.zeros((_TILE, COLUMNS), _f32)
    second_power = np.full((_TILE, COLUMNS), _f32(SMALLEST_POWER))
    _split(first, 0, depth, _FIRST_HIGH, first_high, first_low, first_power)
    largest = np.empty((_GROUPS, COLUMNS), _f32)
    sums = np.empty((2, COLUMNS), _f32)
    held = np.zeros((rows, COLUMNS), _f32)
    summed = np.zeros((rows, COLUMNS), _f32)
    tiles = depth // _TILE
    for tile in range(tiles):
        begins = in_l1 and not wide and tile % block == 0 and tile
        if begins:
            for row in range(rows):
                for n in range(COLUMNS):
                    summed[row, n] = held[row, n] if tile == block else _even(summed[row, n] + held[row, n])
                    held[row, n] = 0.0 if ends_in_l1 or tile + block < tiles else summed[row, n]
        start = tile * _TILE
        _split(second[start : start + _TILE], at, columns, _SECOND_HIGH, second_high, second_low, second_power)
        for row in range(rows):
            _powers(first_power[row, start:], second_power, largest)
            for part in range(passes):
                left = (first_low if part >= 2 else first_high)[row, start:]
                right = second_low if part % 2 else second_high
                scale = _f32((_FIRST_SCALE if part >= 2 else 1.0) * (_SECOND_SCALE if part % 2 else 1.0))
                for step in range(2):
                    k = step * 2 * _GROUP
                    _step(left, right, k, largest[2 * step], largest[2 * step + 1], scale, wide, sums, held[row])
    several = in_l1 and not wide and ends_in_l1 and tiles > block
    for row in range(rows):
        for n in range(columns):
            out[row, n] = _even(summed[row, n] + held[row, n]) if several else held[row, n]


@_compiled
def _even(number: Any) -> Any:
    """Rounded to bfloat16, ties to even."""
    bits = _as_int(number)
    return _as_float((bits + _i32(0x7FFF) + ((bits >> 16) & 1)) & _i32(-65536))
