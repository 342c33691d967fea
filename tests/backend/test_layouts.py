"""Results lie in memory as eager's do: strides, offsets, and whose memory it is, also where sizes are symbolic."""

import pytest
import torch
import torch.nn.functional as F

from backend.comparing import X, agree

DYNAMIC = pytest.mark.parametrize("dynamic", [None, True, False])


def lie_alike(ours, theirs):
    agree(ours, theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.stride(), one.storage_offset()) == (other.stride(), other.storage_offset())


@DYNAMIC
@pytest.mark.parametrize("argument", [X, X.repeat(1, 2)[:, 3:11], X[1:]], ids=["whole", "columns", "rows"])
def test_views_of_an_argument_are_views_of_it(compiled, dynamic, argument):
    def views(x):
        parts = x[1:], x.T, x[:, 2:5], x[1], x[::2, ::3], x.unfold(1, 3, 2)
        return *parts, x.expand(3, *x.shape), x[None], x * 2

    *ours, computed = compiled(views, dynamic=dynamic)(argument)
    *theirs, expected = views(argument)
    lie_alike(ours, theirs)
    lie_alike([computed], [expected])
    assert {one.untyped_storage().data_ptr() for one in ours} == {argument.untyped_storage().data_ptr()}


@DYNAMIC
def test_views_of_an_argument_that_changes_are_views_of_it(compiled, dynamic):
    def changing(x):
        x.add_(1)
        return x[1:], x.T, x.view(-1)[3:]

    ours, theirs = X.clone(), X.clone()
    lie_alike(compiled(changing, dynamic=dynamic)(ours), changing(theirs))
    agree(ours, theirs)


@DYNAMIC
def test_parts_of_a_computed_tensor_are_the_right_parts(compiled, dynamic):
    """A text-to-speech model's flow, cut in two behind a convolution, had its first half twice."""

    def halves(x):
        made = F.conv1d(x[None], torch.eye(4)[..., None]) * 2
        mean, deviation = torch.split(made, 2, dim=1)
        return mean, deviation, made.transpose(1, 2)[:, 2:], made.unfold(2, 3, 1), made[0].expand(2, 4, 8)

    lie_alike(compiled(halves, dynamic=dynamic)(X), halves(X))
