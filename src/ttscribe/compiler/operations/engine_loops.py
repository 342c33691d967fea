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

# Beyond these a product of two powers, of the parts' scales and of _ROUNDING could leave float32's range.
SMALLEST_POWER, LARGEST_POWER = 2.0**-50, 2.0**56
_HALF_AS_INTEGER = 0x3F000000
_SIGN, _EXPONENT, _MAGNITUDE = -(1 << 31), 0x7F800000, 0x7FFFFFFF
# Kept of a float's integer: 7 significant bits of the first operand's high part, 5 of the second's.
_FIRST_HIGH, _SECOND_HIGH = -(1 << 17), -(1 << 19)
_SECOND_SCALE, _FIRST_SCALE = 2.0**-5, 2.0**-7
# 1.5 * 2**23: a float next to it counts whole numbers in its last bits.
_ROUNDING = 12582912.0
# Makes ties go away from zero: a product of parts has 12 significant bits, and so nothing but a tie passes one.
_JUST_ABOVE_ONE = 1 + 2.0**-14
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
def _split(data: Any, at: int, columns: int, high_bits: int, factor: Any, parts: Any, power: Any) -> Any:
    """High and low parts of ``data`` from column ``at`` on, times ``factor``, and powers; False if one is too large."""
    largest = _i32(0)
    for row in range(data.shape[0]):
        for column in range(columns):
            number = data[row, at + column]
            # Compared as integers: so the compiler makes vectors, and what is not a number is above all others.
            largest = max(largest, _as_int(number) & _i32(_MAGNITUDE))
            top = _as_float(_as_int(number) & _i32(high_bits))
            parts[0, row, column] = top * factor
            parts[1, row, column] = (number - top) * factor
            power[row, column] = min(max(_power(number), _f32(SMALLEST_POWER)), _f32(LARGEST_POWER))
    return largest < _as_int(_f32(LARGEST_POWER))


@_compiled
def _inverse(power: Any) -> Any:
    """One by a power of two."""
    return _as_float(_i32(_TWICE_ONE) - _as_int(power))


# Below, a row is told by its number and not by a slice: a slice counts its references, a quarter of all time. Its
# scalars have names, and there is no inner loop: so the compiler makes vectors over the columns.


@_loop
def _powers(first: Any, row: int, start: int, second: Any, out: Any) -> None:
    """The largest power of two of each group's products: [4 groups, columns]."""
    for group in range(_GROUPS):
        k = group * _GROUP
        at = start + k
        p0, p1, p2, p3 = first[row, at], first[row, at + 1], first[row, at + 2], first[row, at + 3]
        p4, p5, p6, p7 = first[row, at + 4], first[row, at + 5], first[row, at + 6], first[row, at + 7]
        for n in range(COLUMNS):
            low = max(p0 * second[k, n], p1 * second[k + 1, n], p2 * second[k + 2, n], p3 * second[k + 3, n])
            high = max(p4 * second[k + 4, n], p5 * second[k + 5, n], p6 * second[k + 6, n], p7 * second[k + 7, n])
            out[group, n] = max(low, high)


@_compiled
def _summed(
    a0: Any, a1: Any, a2: Any, a3: Any, a4: Any, a5: Any, a6: Any, a7: Any, b: Any, low: int, k: int, n: int, unit: Any
) -> Any:
    """A group's eight products, summed as whole multiples: each is rounded where it is added to ``unit``."""
    sum0 = _as_int(a0 * b[low, k, n] + unit) + _as_int(a1 * b[low, k + 1, n] + unit)
    sum0 += _as_int(a2 * b[low, k + 2, n] + unit) + _as_int(a3 * b[low, k + 3, n] + unit)
    sum1 = _as_int(a4 * b[low, k + 4, n] + unit) + _as_int(a5 * b[low, k + 5, n] + unit)
    sum1 += _as_int(a6 * b[low, k + 6, n] + unit) + _as_int(a7 * b[low, k + 7, n] + unit)
    # Eight integers pass 32 bits, and subtracting eight times that of ``unit`` comes back.
    return _f32(_i32(_i32(sum0 + sum1) - _i32(_as_int(unit) << 3)))


@_compiled
def _four(parts: Any, half: int, row: int, at: int) -> Any:
    return parts[half, row, at], parts[half, row, at + 1], parts[half, row, at + 2], parts[half, row, at + 3]


@_loop
def _step(
    first: Any, row: int, start: int, second: Any, part: int, step: int, powers: Any, wide: bool, sums: Any, out: Any
) -> None:
    """Add 16 products to the destination, for every column; ``part`` is the pass."""
    group = 2 * step
    k = group * _GROUP
    at, half, low = start + k, part // 2, part % 2
    a0, a1, a2, a3 = _four(first, half, row, at)
    a4, a5, a6, a7 = _four(first, half, row, at + 4)
    b0, b1, b2, b3 = _four(first, half, row, at + 8)
    b4, b5, b6, b7 = _four(first, half, row, at + 12)
    scale = _f32((_FIRST_SCALE if half else 1.0) * (_SECOND_SCALE if low else 1.0))
    unit = _f32(_ROUNDING / 1024) * scale
    for n in range(COLUMNS):
        sums[0, n] = _summed(a0, a1, a2, a3, a4, a5, a6, a7, second, low, k, n, powers[group, n] * unit)
        sums[1, n] = _summed(b0, b1, b2, b3, b4, b5, b6, b7, second, low, k + 8, n, powers[group + 1, n] * unit)
    if wide:
        _add_32(sums, powers, group, scale, out, row)
    else:
        _add_16(sums, powers, group, scale, out, row)


@_compiled
def _add_16(sums: Any, powers: Any, group: int, part: Any, out: Any, row: int) -> None:
    for n in range(COLUMNS):
        power0, power1, held = powers[group, n] * part, powers[group + 1, n] * part, out[row, n]
        aligned = max(power0, power1, _power(held))
        inverse = _inverse(aligned)
        whole = np.floor(sums[0, n] * (power0 * inverse) + _f32(0.5))
        whole += np.floor(sums[1, n] * (power1 * inverse) + _f32(0.5))
        whole += _whole(held * inverse * _f32(1024.0))
        out[row, n] = _to_8_bits(whole * (aligned * _f32(1.0 / 1024.0)))


@_compiled
def _add_32(sums: Any, powers: Any, group: int, part: Any, out: Any, row: int) -> None:
    for n in range(COLUMNS):
        power0, power1, held = powers[group, n] * part, powers[group + 1, n] * part, out[row, n]
        aligned = max(power0, power1, _power(held))
        inverse = _inverse(aligned)
        # A group's sum has 16 significant bits: where float32 has no room for the half, it is whole already.
        whole = _i32(np.floor(sums[0, n] * (power0 * inverse * _f32(8192.0)) + _f32(0.5)))
        whole += _i32(np.floor(sums[1, n] * (power1 * inverse * _f32(8192.0)) + _f32(0.5)))
        whole = _i32(whole + _i32(held * inverse * _f32(2.0**23)))
        out[row, n] = _to_24_bits(whole) * _f32(2.0**-23) * aligned


@_loop
def product(
    first: Any, second: Any, at: int, out: Any, passes: int, wide: bool, block: int, in_l1: bool, ends_in_l1: bool
) -> Any:
    """``first`` [rows, K] by up to 64 columns of ``second`` [K, N] from ``at`` on, into ``out``; K in whole tiles.

    All is float32; ``first`` and ``second`` are contiguous.

    ``passes`` is the fidelity, 1 to 4; ``wide`` asks for 32-bit destinations. With ``in_l1`` and 16 bits, blocks of
    ``block`` tiles start from zero and are added up in L1, ties to even; the last goes on from their sum in the
    destination unless it ``ends_in_l1`` too. False where a number is too large to be aligned (from LARGEST_POWER on, or
    infinite, or not a number): then ``out`` holds nothing of use.
    """
    rows, depth, columns = first.shape[0], first.shape[1], out.shape[1]
    first_parts, first_power = np.empty((2, rows, depth), _f32), np.empty((rows, depth), _f32)
    second_parts = np.zeros((2, _TILE, COLUMNS), _f32)
    second_power = np.full((_TILE, COLUMNS), _f32(SMALLEST_POWER))
    aligned = _split(first, 0, depth, _FIRST_HIGH, _f32(_JUST_ABOVE_ONE), first_parts, first_power)
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
        tile_of_second = second[start : start + _TILE]
        aligned &= _split(tile_of_second, at, columns, _SECOND_HIGH, _f32(1), second_parts, second_power)
        for row in range(rows):
            _powers(first_power, row, start, second_power, largest)
            for part in range(passes):
                for step in range(2):
                    _step(first_parts, row, start, second_parts, part, step, largest, wide, sums, held)
    several = in_l1 and not wide and ends_in_l1 and tiles > block
    for row in range(rows):
        for n in range(columns):
            out[row, n] = _even(summed[row, n] + held[row, n]) if several else held[row, n]
    return aligned


@_compiled
def _even(number: Any) -> Any:
    """Rounded to bfloat16, ties to even."""
    bits = _as_int(number)
    return _as_float((bits + _i32(0x7FFF) + ((bits >> 16) & 1)) & _i32(-65536))
