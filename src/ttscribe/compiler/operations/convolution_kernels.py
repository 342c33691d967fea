"""A convolution as TT-NN's kernels compute it: a matrix product whose order of sums follows from how it is sharded.

A core holds some channels of some positions. It lays the taps of its channels side by side, fills them up to whole
tiles, and that is a block: blocks are added up in L1, core after core. So in which order numbers are added depends on
how many cores the channels are spread over, which TT-NN's host code chooses where a call does not say. All recorded
convolutions are reproduced bit for bit up to their activation; they are block-sharded, as Whisper's are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.engine import Arithmetic, product
from ttscribe.compiler.program import TILE_SIZE

_ROWS, _COLUMNS = 8, 8  # of an n150's cores
_CORES = _ROWS * _COLUMNS
_ALIGNED = 8
"""Channels that are not split, of tensors in row-major layout: 16 bytes of bfloat16."""


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to shard: busy cores, channels of the input on each, and tiles of L1 that it takes of a core, estimated."""

    cores: int
    channels: int
    size: int


def channels_of_a_core(channels: int, out_channels: int, taps: int, positions: int, *, tiled: bool) -> int:
    """How many input channels TT-NN gives a core; all of them, aligned, where it spreads positions only.

    ``positions`` are those of all results. TT-NN 0.81.1 takes the way that needs least L1 of a core: positions over all
    cores; positions over rows of cores and channels over columns, where that keeps at least a row busy; or channels
    over all. Of 389 convolutions put to its host code on a mock n150 it gave 388 as many channels as this says.
    """
    rows, out_tiles = -(-positions // TILE_SIZE), -(-out_channels // TILE_SIZE)
    unit = TILE_SIZE if tiled else _ALIGNED
    units, tiles = -(-channels // unit), -(-channels // TILE_SIZE)

    def way(row_cores: int, width: int, column_cores: int, out_cores: int, more: int = 0) -> _Way:
        height, columns = -(-rows // row_cores), -(-out_tiles // out_cores)
        inner = -(-width * taps // TILE_SIZE)
        # What is convolved as it came and in tiles; weights; sums and the result.
        size = 2 * height * inner + inner * columns + 2 * height * columns + more * inner
        return _Way(row_cores * max(column_cores, out_cores), width, size)

    columns, out_columns = _nearly_equal(units, _COLUMNS), _nearly_equal(out_tiles, _COLUMNS)
    best = way(_busy(rows, _CORES), units * unit, 1, 1)
    block = way(_busy(rows, _ROWS), -(-units // columns) * unit, columns, out_columns)
    if block.size < best.size and block.cores >= _COLUMNS:
        best = block
    wide = _equal(tiles, _CORES)
    by_channels = way(1, tiles // wide * TILE_SIZE, wide, _equal(out_tiles, _CORES), more=2)
    return by_channels.channels if by_channels.size < best.size else best.channels


def _equal(units: int, most: int) -> int:
    """Into how many equal parts they can be cut."""
    return next(parts for parts in range(most, 0, -1) if units % parts == 0)


def _nearly_equal(units: int, most: int) -> int:
    """Into how many parts, of which the last may be smaller but not nothing."""
    return next(parts for parts in range(most, 0, -1) if -units % parts < -(-units // parts))


def _busy(tiles: int, cores: int) -> int:
    """How many cores have something to do where each takes as many tiles as any, but for the last."""
    each = -(-tiles // cores)
    return -(-tiles // each)


def convolved(taps: Tensor, weight: Tensor, how: Arithmetic, width: int, *, ends_in_l1: bool) -> Tensor:
    """Taps [B, length, taps, channels] by weight [taps, channels, outputs]: [B, length, outputs].

    ``width`` channels lie on a core; float32 holds what destinations of 16 or 32 bits would, as of ``product``.
    """
    blocks = [
        (_whole_tiles(part.flatten(-2), -1), _whole_tiles(filters.flatten(0, 1), 0))
        for part, filters in zip(_cores(taps, width, 3), _cores(weight, width, 1), strict=True)
    ]
    rows, matrix = (torch.cat(parts, dim) for parts, dim in zip(zip(*blocks, strict=True), (-1, 0), strict=True))
    return product(rows, matrix, how, blocks[0][1].shape[0] // TILE_SIZE, ends_in_l1=ends_in_l1)


def _cores(data: Tensor, width: int, dim: int) -> tuple[Tensor, ...]:
    return torch.split(_filled(data, width, dim), width, dim)


def _whole_tiles(data: Tensor, dim: int) -> Tensor:
    return _filled(data, TILE_SIZE, dim)


def _filled(data: Tensor, unit: int, dim: int) -> Tensor:
    """With zeros at the end of a dimension, up to whole units."""
    dims_after = data.dim() - 1 - dim % data.dim()
    return F.pad(data, (*(0, 0) * dims_after, 0, -data.shape[dim] % unit))
