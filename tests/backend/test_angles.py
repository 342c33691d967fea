"""Sines of large positions: their angles never go through bfloat16."""

import pytest
import torch

from backend.comparing import X
from ttscribe.compiler.program import Reason

POSITIONS = torch.tensor([3, 300, 1500, 100_003])


def multiplied(positions):
    return positions[:, None].float() * 10_000 ** -(torch.arange(4) / 4)


def outer(positions):
    """As Llama has it: a product of a column and a row, then halves joined."""
    frequencies = 10_000 ** -(torch.arange(0, 8, 4) / 8)
    angles = (frequencies[None, :, None].expand(1, -1, 1) @ positions[None, None, :].float()).transpose(1, 2)
    return torch.cat((angles, angles), -1)[0]


def promoted(positions):
    return positions[:, None] * torch.tensor([1.0, 0.5, 0.25, 0.1]) + 0.5


@pytest.mark.parametrize("angles", [multiplied, outer, promoted])
def test_sine_and_cosine_of_positions_are_taken_in_float32(compiled, angles):
    def rotated(x, positions):
        turned = angles(positions)
        return x[:, :4] * turned.cos() + x[:, 4:] * turned.sin()

    ours, theirs = compiled(rotated, precision="bf16-hifi3")(X, POSITIONS), rotated(X, POSITIONS)
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)
    (report,) = compiled.reports
    stay = {item.target for item in report.fallbacks if "angles of whole numbers" in item.sentence}
    assert {"aten.sin.default", "aten.cos.default"} <= stay
    assert all(item.reason is Reason.DTYPE for item in report.fallbacks)
    assert report.ledger["ttnn.multiply"] == 2


def test_a_sine_of_what_the_device_computes_is_taken_there(compiled):
    def mixed(x, lengths):
        return torch.sin(x * 2 + lengths[:, None].float())

    compiled(mixed)(X, torch.tensor([1, 2, 3, 4]))
    assert compiled.reports[0].ledger["ttnn.sin"] == 1
