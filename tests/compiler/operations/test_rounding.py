"""Rounding against TT-NN's own host conversion, bit for bit."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from ttscribe.compiler.operations.rounding import rounded
from ttscribe.compiler.program import DType

FORMATS = [DType.BFLOAT16, DType.BFLOAT8_B, DType.BFLOAT4_B]
ODD = st.floats(width=32, allow_nan=False)
# Neighbours in magnitude, where a block's shared exponent leaves ties and halves of ties.
NEAR = st.integers(-4095, 4095).map(lambda number: number / 64)


def converted(ttnn, data, dtype):
    tensor = ttnn.from_torch(data, dtype=getattr(ttnn, dtype.value), layout=ttnn.TILE_LAYOUT)
    return ttnn.to_torch(tensor).float()


@pytest.mark.parametrize("dtype", FORMATS)
def test_random_matrices_round_as_ttnn_does(ttnn, dtype):
    for shape in [(64, 64), (5, 7), (3, 33, 50), (1, 100), (17,)]:
        data = torch.randn(shape) * torch.exp2(torch.randint(-20, 20, shape).float())
        assert torch.equal(rounded(data, dtype), converted(ttnn, data, dtype))


@pytest.mark.parametrize("dtype", FORMATS)
def test_any_bit_pattern_rounds_as_ttnn_does(ttnn, dtype):
    bits = torch.randint(-(2**31), 2**31 - 1, (500, 96), dtype=torch.int64).to(torch.int32)
    # Few exponents of those 16 in a block are near its largest, so that most of these are near a limit of the format.
    small = torch.randint(0, 1 << 26, (500, 96), dtype=torch.int32)
    for data in (bits.view(torch.float32), small.view(torch.float32)):
        finite = torch.where(data.isnan(), 0.0, data)
        assert torch.equal(rounded(finite, dtype), converted(ttnn, finite, dtype))


@pytest.mark.parametrize("dtype", FORMATS)
def test_blocks_round_as_ttnn_does(ttnn, dtype):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.one_of(ODD, NEAR), min_size=1, max_size=40))
    def check(values):
        data = torch.tensor([values])
        assert torch.equal(rounded(data, dtype), converted(ttnn, data, dtype))

    check()


def test_a_block_is_sixteen_of_the_last_dimension():
    data = torch.full((1, 32), 2.0**-10)
    data[0, 0] = 1.0
    assert rounded(data, DType.BFLOAT8_B)[0].tolist() == [1.0] + [0.0] * 15 + [2.0**-10] * 16


@pytest.mark.parametrize(("dtype", "before", "after"), [(DType.UINT32, -1, 2**32 - 1), (DType.INT32, 2**31, -(2**31))])
def test_integers_wrap(dtype, before, after):
    assert rounded(torch.tensor([before]), dtype).tolist() == [after]


def test_what_a_kernel_writes_has_ties_away_from_zero():
    # The step of a block whose largest value is 1 is 1 / 64.
    data = torch.tensor([[1.0, 2.5 / 64, -2.5 / 64] + [0.0] * 13])
    assert rounded(data, DType.BFLOAT8_B)[0, 1:3].tolist() == [2 / 64, -2 / 64]
    assert rounded(data, DType.BFLOAT8_B, by_kernel=True)[0, 1:3].tolist() == [3 / 64, -3 / 64]
