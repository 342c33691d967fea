"""Pearson's correlation."""

from __future__ import annotations

from torch import Tensor


def correlation(ours: Tensor, theirs: Tensor) -> float | None:
    """Pearson's correlation of two tensors; None where one of them does not vary or there is nothing to compare."""
    # In float64: the contract asks for five nines, of sums over 51,866 logits.
    first, second = ours.double().flatten(), theirs.double().flatten()
    if first.numel() < 2 or not (first.isfinite().all() and second.isfinite().all()):
        return None
    first, second = first - first.mean(), second - second.mean()
    size = first.norm() * second.norm()
    return None if size == 0 else float(first @ second / size)
