"""How far one device's result is from another's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from torch import Tensor

from ttscribe.evaluation.correlation import correlation

# What masks and suppressed tokens hold: beside it, all other elements would count for nothing.
_MASKED = 1e8


@dataclass(frozen=True, slots=True)
class Difference:
    """``error`` is the size of the difference relative to the reference's (root mean squares), infinite where one of
    the two is not a number and the other is; ``largest`` the largest absolute difference of an element; ``correlation``
    Pearson's, None where one of them does not vary.

    A result that is off by a factor correlates perfectly: what is judged is ``error``. Of whole numbers it is the share
    of elements that differ.
    """

    correlation: float | None
    error: float
    largest: float


def difference(ours: Tensor, theirs: Tensor) -> Difference:
    """Between two results of one shape, over the elements that neither holds masked (beyond 1e8, or infinite)."""
    first, second = ours.double().flatten(), theirs.double().flatten()
    if first.shape != second.shape:
        return Difference(None, inf, inf)
    if not theirs.is_floating_point() and first.numel():
        share, largest = float((first != second).double().mean()), float((first - second).abs().max())
        return Difference(correlation(first, second), share, largest)
    masked = first.abs() > _MASKED
    same_masks = bool((masked == (second.abs() > _MASKED)).all())
    first, second = first[~masked], second[~masked]
    if not same_masks or first.isnan().any() or second.isnan().any():
        return Difference(None, inf, inf)
    if not first.numel():
        return Difference(None, 0.0, 0.0)
    apart, size = first - second, float(second.norm())
    error = float(apart.norm()) / size if size else (inf if apart.any() else 0.0)
    return Difference(correlation(first, second), error, float(apart.abs().max()))


def worst(found: Iterable[Difference]) -> Difference | None:
    """The one with the largest error; None where there is nothing to compare."""
    return max(found, key=lambda each: each.error, default=None)
