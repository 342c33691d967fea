"""``ttscribe.compile``: any module, through ``torch.export``."""

import copy

import pytest
import torch
from torch import nn

import ttscribe
from ttscribe.errors import CompileError, DeviceUnavailable, FallbackRefused

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


class Assorted(nn.Module):
    """Changes its first argument, and gives a number, nothing and tensors in a structure."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("table", torch.arange(8.0))

    def forward(self, x, pair, times=2):
        x[:, 1:3].mul_(3)
        return {"out": self.linear(x) * times, "table": self.table, "pair": (pair[0] + pair[1], None, times)}


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Assorted().eval()


def arguments():
    return X.clone(), (X + 1, X * 2), 2


@pytest.fixture
def compiled(module):
    return ttscribe.compile(module, arguments(), precision="exact")


@torch.no_grad()
def test_results_and_changed_arguments_are_eagers(module, compiled):
    theirs, ours = arguments(), arguments()
    expected, given = module(*theirs), compiled(*ours)
    torch.testing.assert_close(given["out"], expected["out"])
    torch.testing.assert_close(given["pair"][0], expected["pair"][0])
    assert given["pair"][1:] == (None, 2)
    assert torch.equal(ours[0], theirs[0])


def test_the_examples_are_left_as_they_were(module):
    examples = arguments()
    ttscribe.compile(module, examples, precision="exact")
    assert torch.equal(examples[0], X)


@torch.no_grad()
def test_weights_are_those_of_when_it_was_compiled(module, compiled):
    before = copy.deepcopy(module)(*arguments())
    module.linear.weight.add_(1)
    module.linear.bias.add_(1)
    module.table.zero_()
    after = compiled(*arguments())
    torch.testing.assert_close(after["out"], before["out"])
    assert after["table"].tolist() == list(range(8))
    after["table"].zero_()
    assert compiled(*arguments())["table"].tolist() == list(range(8))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ((X[:2], (X, X), 2), "argument 0 was compiled as float32[4, 8], not float32[2, 8]"),
        ((X, (X, X.double()), 2), "argument 2 was compiled as float32[4, 8], not float64[4, 8]"),
        ((X, (X, X), 3), "argument 3 was compiled as 2, not 3"),
        ((X, X, 2), "another structure"),
    ],
)
def test_arguments_of_another_kind_are_refused(compiled, changed, message):
    with pytest.raises(CompileError) as caught:
        compiled(*changed)
    assert message in str(caught.value)


def test_the_ledger_counts_each_call(compiled):
    for _ in range(3):
        compiled(*arguments())
    assert compiled.report.ledger["ttnn.linear"] == 3


def test_strict_refuses_what_stays_on_the_host():
    with pytest.raises(FallbackRefused) as caught:
        ttscribe.compile(Cumulative(), (X,), strict=True)
    # The one error of several lines, as its class says.
    said, counted, why = str(caught.value).splitlines()
    assert said == "strict: operations would stay on the host"
    assert counted.startswith("Cumulative: 0 of 1 operations lowered")
    assert "1 x aten.cumsum.default on the host (no_rule)" in why
    assert "line after that has a kind of them" in " ".join(FallbackRefused.__doc__.split())


def test_a_mock_board_is_refused_for_it_computes_nothing(monkeypatch, module):
    monkeypatch.setenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", "n150.yaml")
    with pytest.raises(DeviceUnavailable, match="a mock board computes nothing"):
        ttscribe.compile(module, arguments(), device="ttnn")


class Cumulative(nn.Module):
    def forward(self, x):
        return x.cumsum(0)


class Deciding(nn.Module):
    def forward(self, x):
        return x + 1 if x.sum() > 0 else x


def test_what_cannot_be_exported_is_one_line_that_says_why():
    with pytest.raises(CompileError) as caught:
        ttscribe.compile(Deciding(), (X,))
    assert str(caught.value).startswith("Deciding cannot be exported: ")
    assert "\n" not in str(caught.value)
