"""Attention as TT-NN's kernels compute it with 16-bit destinations: chunk by chunk over the keys.

Every sum and product goes through the matrix engine. The exponential of scores is the fast one, whatever
``exp_approx_mode`` says; that of a rescaling is accurate. Equal to recorded results of real kernels bit for bit where
one chunk holds all keys, correlated with them by 0.9999 or better where several do.

Shapes: queries [B, H, T, E], keys and values [B, H, S, E], masks broadcast to [B, H, T, S].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations.engine import Arithmetic, multiplied, product, sums
from ttscribe.compiler.operations.vector_unit import fast_exponential
from ttscribe.compiler.program import TILE_SIZE

# What TT-NN 0.81.1 gives one head of one user of a decode step on an n150, at most.
_MOST_CORES_OF_A_HEAD, _CORES = 16, 64
_LARGEST_BFLOAT16 = torch.finfo(torch.bfloat16).max


@dataclass(frozen=True, slots=True)
class _Held:
    """What attention to some keys has given: the largest score, the sum of weights, and the values so weighted."""

    largest: Tensor
    total: Tensor
    attended: Tensor

    def divided(self, total: Tensor, how: Arithmetic) -> Tensor:
        return multiplied(self.attended, _bfloat16(1 / total), how.passes)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, how: Arithmetic, chunk: int) -> Tensor:
    """Attention of many queries: what is held of the chunks before is rescaled, and added up in L1."""
    held: _Held | None = None
    for scores, values in _scores(q, k, v, mask, scale, how, chunk):
        largest = scores.amax(-1, keepdim=True)
        if held is not None:
            largest = torch.maximum(held.largest, largest)
        weights = _weights(scores, largest, scale)
        total, attended = _tile_sums(weights), product(weights, values, how)
        if held is not None:
            rescaled = _rescaled(held.largest, largest, scale)
            total = _bfloat16(total + multiplied(held.total, rescaled, how.passes))
            attended = _bfloat16(attended + multiplied(held.attended, rescaled, how.passes))
        held = _Held(largest, total, attended)
    assert held is not None
    return held.divided(_row_sums(held.total, how), how)


def attend_in_a_step(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, how: Arithmetic, chunk: int
) -> Tensor:
    """Attention of one query a head: each head's cores take their shares of the chunks, and merge them in pairs."""
    chunks = [_chunk(scores, values, scale, how) for scores, values in _scores(q, k, v, mask, scale, how, chunk)]
    share = -(-len(chunks) // max(1, min(_MOST_CORES_OF_A_HEAD, _CORES // q.shape[1])))
    parts = [
        reduce(lambda held, now: _merged(held, now, scale, how), chunks[at : at + share])
        for at in range(0, len(chunks), share)
    ]
    while len(parts) > 1:
        pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
        parts = [reduce(lambda held, now: _merged(held, now, scale, how), pair) for pair in pairs]
    (held,) = parts
    return held.divided(held.total, how)


def _scores(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, how: Arithmetic, chunk: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Scores before scaling, minus infinity where masked, and values, of each chunk."""
    for start in range(0, k.shape[2], chunk):
        piece = slice(start, start + chunk)
        scores = product(q, k[:, :, piece].mT, how)
        if mask is not None:
            # The kernel scales scores and mask together, so that TT-NN divides the mask first. What a card makes of a
            # quotient beyond bfloat16's range is not recorded: here it is the largest number.
            masked = mask[..., piece]
            divided = _bfloat16(masked / scale).clamp(-_LARGEST_BFLOAT16, _LARGEST_BFLOAT16)
            scores = torch.where(masked == -torch.inf, masked, sums(scores, divided))
        yield scores, v[:, :, piece]


def _chunk(scores: Tensor, values: Tensor, scale: float, how: Arithmetic) -> _Held:
    largest = scores.amax(-1, keepdim=True)
    weights = _weights(scores, largest, scale)
    return _Held(largest, _row_sums(weights, how), product(weights, values, how))


def _merged(first: _Held, second: _Held, scale: float, how: Arithmetic) -> _Held:
    largest = torch.maximum(first.largest, second.largest)
    factors = [_rescaled(held.largest, largest, scale) for held in (first, second)]
    totals = [multiplied(held.total, factor, how.passes) for held, factor in zip((first, second), factors, strict=True)]
    values = [
        multiplied(held.attended, factor, how.passes) for held, factor in zip((first, second), factors, strict=True)
    ]
    return _Held(largest, sums(*totals), sums(*values))


def _weights(scores: Tensor, largest: Tensor, scale: float) -> Tensor:
    """Zero where masked: so a query that sees nothing gets nothing, divided by nothing."""
    return fast_exponential(sums(scores, -largest) * scale).masked_fill_(scores == -torch.inf, 0.0)


def _rescaled(before: Tensor, largest: Tensor, scale: float) -> Tensor:
    return _bfloat16((sums(before, -largest) * scale).exp())


def _tile_sums(weights: Tensor) -> Tensor:
    """Tiles side by side added up in L1, ties to even: 32 columns are left."""
    padded = F.pad(weights, (0, -weights.shape[-1] % TILE_SIZE))
    held = padded[..., :TILE_SIZE]
    for at in range(TILE_SIZE, padded.shape[-1], TILE_SIZE):
        held = _bfloat16(held + padded[..., at : at + TILE_SIZE])
    return held


def _row_sums(weights: Tensor, how: Arithmetic) -> Tensor:
    """Rows summed as a product with ones."""
    return product(weights, torch.ones(weights.shape[-1], 1), how)


def _bfloat16(data: Tensor) -> Tensor:
    return data.bfloat16().float()
