"""How far results are apart."""

import math

import torch

from ttscribe.lockstep.difference import Difference, difference, worst

X = torch.arange(1.0, 9.0)


def test_equal_results_are_not_apart():
    assert difference(X, X) == Difference(difference(X, X).correlation, 0.0, 0.0)


def test_a_result_off_by_a_factor_correlates_perfectly_and_is_off_all_the_same():
    found = difference(1.5 * X, X)
    assert round(found.correlation, 6) == 1
    assert (round(found.error, 6), found.largest) == (0.5, 4.0)


def test_of_whole_numbers_the_share_that_differs_counts():
    found = difference(torch.tensor([5, 7, 9, 9]), torch.tensor([5, 7, 9, 1000]))
    assert (found.error, found.largest) == (0.25, 991.0)


def test_what_both_mask_is_left_out():
    masked = torch.tensor([-1e9, -math.inf])
    assert difference(torch.cat([1.1 * X, masked]), torch.cat([X, -1e9 * torch.ones(2)])).error < 0.11


def test_what_is_no_number_or_masked_on_one_side_is_as_far_off_as_can_be():
    for wrong in (math.nan, math.inf, -1e9):
        assert difference(torch.cat([X, torch.tensor([wrong])]), torch.cat([X, torch.ones(1)])).error == math.inf


def test_another_shape_is_as_far_off_as_can_be():
    assert difference(X, X[:-1]).error == math.inf


def test_nothing_beside_nothing_is_nothing():
    assert difference(torch.zeros(1, 0), torch.zeros(1, 0)).error == 0
    assert difference(torch.zeros(4), torch.zeros(4)).error == 0
    assert difference(torch.ones(4), torch.zeros(4)).error == math.inf


def test_the_worst_is_the_largest_relative_error():
    found = [Difference(1.0, 0.1, 9.0), Difference(1.0, 0.2, 1.0)]
    assert worst(found) is found[1]
    assert worst([]) is None
