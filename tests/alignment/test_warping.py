"""The median filter and dynamic time warping, against what is plainly right and slow."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ttscribe.alignment.warping import first_columns, median_filter

unhurried = settings(deadline=None)


@pytest.mark.parametrize("length", [4, 7, 50])
def test_the_median_of_seven_is_pytorchs(length):
    values = torch.randn(2, 5, length, generator=torch.Generator().manual_seed(length))
    mirrored = torch.nn.functional.pad(values, (3, 3), mode="reflect")
    assert torch.equal(median_filter(values), mirrored.unfold(-1, 7, 1).median(-1).values)


def test_what_is_shorter_than_half_the_filter_stays():
    values = torch.randn(1, 2, 3)
    assert torch.equal(median_filter(values), values)


def costs(most=7):
    """Matrices of small whole numbers, in which many paths cost the same."""
    sizes = st.tuples(st.integers(1, most), st.integers(1, most))
    return sizes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3)))


def cheapest(cost):
    """Of every path through the matrix, by trying them all backwards from each element: least cost to the end."""
    rows, columns = cost.shape
    least = np.full((rows + 1, columns + 1), np.inf)
    least[-2, -2] = 0
    for row in reversed(range(rows)):
        for column in reversed(range(columns)):
            after = min(least[row + 1, column], least[row, column + 1], least[row + 1, column + 1])
            least[row, column] = cost[row, column] + (0 if (row, column) == (rows - 1, columns - 1) else after)
    return least[0, 0]


def cost_with(cost, first):
    """The least cost of a path that enters each row in these columns."""
    rows, columns = cost.shape
    # A row is left in the column where the next one is entered, or the one before it.
    leaves = [[max(own, after - 1), after] for own, after in pairwise(first)] + [[columns - 1] * 2]
    return sum(min(cost[row, first[row] : last + 1].sum() for last in leaves[row]) for row in range(rows))


@unhurried
@given(costs())
def test_the_path_is_a_cheapest_one(cost):
    first = first_columns(cost)
    assert first[0] == 0
    assert (np.diff(first) >= 0).all()
    assert cost_with(cost, first.tolist()) == cheapest(cost)


def test_rows_are_entered_where_they_are_cheap():
    assert first_columns(np.array([[0, 0, 9, 9, 9], [9, 9, 0, 9, 9], [9, 9, 9, 0, 0]])).tolist() == [0, 2, 3]
