"""A median filter, and dynamic time warping: the cheapest way through a matrix of tokens and times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

MEDIAN_WIDTH = 7
"""Encoder positions of 20 ms under the median filter."""

# Exchanges that leave the median of seven in the middle: N. Devillard, Fast median search (1998).
_EXCHANGES = (
    *((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6)),
    *((2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)),
)


def median_filter(values: Tensor) -> Tensor:
    """Each of ``values`` [..., rows, length] replaced by the median of the seven around it, mirrored at both ends.

    What is no longer than half the filter is given back as it is.
    """
    half = MEDIAN_WIDTH // 2
    if values.shape[-1] <= half:
        return values
    padded = functional.pad(values, (half, half), mode="reflect")
    # Each rank is a whole matrix: a few dozen elementwise operations, where sorting windows one by one takes longer.
    ranks = list(padded.unfold(-1, values.shape[-1], 1).unbind(-2))
    for low, high in _EXCHANGES:
        ranks[low], ranks[high] = torch.minimum(ranks[low], ranks[high]), torch.maximum(ranks[low], ranks[high])
    return ranks[half]


def first_columns(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """For each row of ``cost`` [rows, columns], the column in which the cheapest path enters it.

    The path goes from the first element to the last in steps of one row, one column, or both. Of equally cheap ways
    the one that stays in its row is taken.
    """
    total = _totals(cost)
    row, column = cost.shape
    first = np.zeros(row, np.int64)
    while (row, column) != (0, 0):
        first[row - 1] = column - 1
        both, up, left = total[row - 1, column - 1], total[row - 1, column], total[row, column - 1]
        if left <= min(both, up):
            column -= 1
        elif both <= up:
            row, column = row - 1, column - 1
        else:
            row -= 1
    return first


def _totals(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The cost of the cheapest path to each element, with a row and a column of infinity before the first."""
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0
    total[1:, 1:] = cost
    flat, width = total.ravel(), columns + 1
    # Elements of one diagonal depend on earlier diagonals only, and lie `columns` apart in memory.
    for diagonal in range(2, rows + columns + 1):
        top, bottom = max(1, diagonal - columns), min(rows, diagonal - 1)
        start, count = top * width + diagonal - top, bottom - top + 1

        def before(offset: int, start: int = start, count: int = count) -> npt.NDArray[np.float64]:
            return flat[start - offset : start - offset + (count - 1) * columns + 1 : columns]

        before(0)[:] += np.minimum(np.minimum(before(width + 1), before(width)), before(1))
    return total
