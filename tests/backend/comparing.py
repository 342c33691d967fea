"""What eager mode gives, and the backend beside it."""

import copy

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


def agree(ours, theirs) -> None:
    """Of one structure, with tensors equal to fp32 rounding and all else equal."""
    (left, structure), (right, expected) = pytree.tree_flatten(ours), pytree.tree_flatten(theirs)
    assert structure == expected
    for one, other in zip(left, right, strict=True):
        if isinstance(other, Tensor):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        else:
            assert one == other


def check(compiled, function, *arguments, **options):
    """Results and changed arguments are eager's; the report of the only graph."""
    theirs, ours = copy.deepcopy(arguments), copy.deepcopy(arguments)
    expected = function(*theirs)
    agree(compiled(function, **options)(*ours), expected)
    agree(ours, theirs)
    (report,) = compiled.reports
    return report
