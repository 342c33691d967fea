"""Infinities, rows that are all masked, float16's overflow, and 64-bit whole numbers: what eager gives, or the host."""

import pytest
import torch
import torch.nn.functional as F

from backend.comparing import X, agree
from ttscribe.compiler.program import Reason

INFINITY, SMALLEST = float("inf"), torch.finfo(torch.float32).min
MASK = torch.rand(4, 8, generator=torch.Generator().manual_seed(0)) > 0.5
MASK[1] = True
Q, K = (torch.randn(1, 2, size, 32, generator=torch.Generator().manual_seed(size)) for size in (4, 8))


def assigned(x, mask):
    x = x.clone()
    x[mask] = -INFINITY
    x[:, 2] = INFINITY
    return x, x.amax(-1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, mask: x.masked_fill(mask, -INFINITY),
        lambda x, mask: x.masked_fill(mask, INFINITY).amax(1),
        lambda x, mask: x.masked_fill(mask, -INFINITY).logsumexp(-1),
        lambda x, mask: x.masked_fill(mask, -INFINITY).softmax(-1),
        lambda x, mask: torch.isinf(torch.where(mask, x, -INFINITY) * 2),
        lambda x, mask: torch.where(mask, 0.0, -INFINITY) + x,
        lambda x, mask: x.masked_fill(x < x.topk(3).values[..., -1:], -INFINITY).argmax(-1),
        assigned,
    ],
    ids=[
        "fill",
        "largest",
        "sum of exponentials",
        "softmax",
        "is infinite",
        "numbers",
        "likeliest three",
        "assignment",
    ],
)
def test_infinities_are_infinite(compiled, function):
    ours, theirs = compiled(function)(X, MASK), function(X, MASK)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True)


MASKS = {
    "boolean": ~MASK,
    "of keys": torch.zeros(1, 1, 1, 8, dtype=torch.bool),
    "of queries": ~MASK[:, 2:3],
    "infinite": torch.zeros(4, 8).masked_fill(MASK, -INFINITY),
    "smallest": torch.zeros(4, 8).masked_fill(MASK, SMALLEST),
}


@pytest.mark.parametrize("precision", ["exact", "bf16-hifi3"])
@pytest.mark.parametrize("width", [32, 5])
@pytest.mark.parametrize("name", [*MASKS, None])
def test_queries_that_may_attend_to_nothing_get_what_pytorch_gives(compiled, name, width, precision):
    def attend(q, k, mask=None):
        mask = torch.arange(8) < torch.arange(4)[:, None] if mask is None else mask
        return F.scaled_dot_product_attention(q, k, k, attn_mask=mask)

    arguments = (Q[..., :width].contiguous(), K[..., :width].contiguous(), *(() if name is None else (MASKS[name],)))
    ours, theirs = compiled(attend, precision=precision)(*arguments), attend(*arguments)
    tolerance = 1e-5 if precision == "exact" else 0.05
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_attention_under_a_constant_mask_that_leaves_no_query_out_costs_nothing_more(compiled):
    def attend(q, k):
        return F.scaled_dot_product_attention(q, k, k, attn_mask=torch.arange(8) <= torch.arange(4)[:, None])

    agree(compiled(attend)(Q, K), attend(Q, K))
    assert "ttnn.where" not in compiled.reports[0].ledger


@pytest.mark.parametrize(
    "function",
    [
        lambda x, mask: (x + (1 - mask.float()) * SMALLEST).softmax(-1),
        lambda x, mask: (x + torch.where(mask, 0.0, SMALLEST)).softmax(-1),
        lambda x, mask: x.masked_fill(~mask, SMALLEST).softmax(-1),
        lambda x, mask: (x + torch.zeros(4, 8, dtype=torch.float64).masked_fill(~mask, SMALLEST).float()).softmax(-1),
        lambda x, mask: (x * mask + torch.full((4, 8), SMALLEST)).softmax(-1),
    ],
    ids=["multiplied", "chosen", "filled", "from the host", "constant"],
)
def test_a_row_masked_with_float32s_smallest_number_is_a_mean_in_bfloat16_too(compiled, function):
    ours, theirs = compiled(function, precision="bf16-hifi3")(X, ~MASK), function(X, ~MASK)
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)


def test_float16_overflows_as_it_does_in_pytorch(compiled):
    agree(compiled(lambda x: (x * 1e4 * 1e4) * 1e-4)(X.half()), (X.half() * 1e4 * 1e4) * 1e-4)
    (report,) = compiled.reports
    assert {(item.reason, item.sentence) for item in report.fallbacks} == {
        (Reason.DTYPE, "TT-NN has no float16; cast to float32 or bfloat16 first")
    }


WIDE = torch.tensor([3, 2**31 + 5, -(2**40), 2**53 + 1])
OTHERS = torch.tensor([3, 5, -(2**40), 2**53])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, wide, others: torch.where((wide > others)[:, None], x, 0.0),
        lambda x, wide, others: x.masked_fill((wide == 5)[:, None], -INFINITY),
        lambda x, wide, others: torch.where((others + 2**19 > 0)[:, None], x, 0.0),
        lambda x, wide, others: torch.where((x.argmax(-1) == wide)[:, None], x, 0.0),
        lambda x, wide, others: torch.cat([x.argmax(-1), wide]),
        lambda x, wide, others: torch.where((wide.int() > 4)[:, None], x, 0.0),
    ],
    ids=["compared", "with a number", "summed", "with a position", "joined", "cast"],
)
def test_whole_numbers_beyond_32_bits_stay_what_they_are(compiled, function):
    agree(compiled(function)(X, WIDE, OTHERS), function(X, WIDE, OTHERS))
    assert "may not fit the device's 32 bits" in str(compiled.reports[0])


def test_whole_numbers_that_are_looked_up_or_known_to_fit_go_to_the_device(compiled):
    def looked_up(x, ids):
        positions = torch.arange(8) - x.argmax(-1, keepdim=True)
        return x[ids.view(-1)] + F.embedding(ids.view(2, 2), x).view(4, 8), torch.where(positions > 0, x, 0.0)

    ids = torch.tensor([1, 0, 3, 2])
    agree(compiled(looked_up)(X, ids), looked_up(X, ids))
    sums = [item.target for item in compiled.reports[0].fallbacks]
    assert sums == ["aten.sub.Tensor", "aten.gt.Scalar"]
