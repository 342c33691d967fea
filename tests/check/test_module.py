"""Any module, through torch.compile's graphs and TT-NN's own host software."""

import pytest
import torch
from torch import nn

from ttscribe.check import Kind, check_programs
from ttscribe.check.programs import module_programs
from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.errors import CompileError

pytestmark = pytest.mark.xdist_group("check-module")

SETTINGS = CompileSettings(policy("bf16-hifi3"))
X = torch.zeros(1, 64, 64)


class Breaks(nn.Module):
    """Two graphs: Python looks at a value in between."""

    def forward(self, x):
        x = (x + 1).relu()
        torch._dynamo.graph_break()
        return (x * 2).exp()


@pytest.fixture(autouse=True)
def forget():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def layers():
    return nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128), nn.Linear(128, 64)).eval()


def test_a_module_of_common_layers_is_accepted():
    programs = module_programs(layers(), (X,), SETTINGS)
    report = check_programs(programs, "n150")
    assert report.findings == ()
    assert report.verdict.startswith("validated: every call is accepted by TT-NN")
    assert [program.program for program in report.programs] == ["graph_0"]
    assert report.programs[0].launches > 0


def test_what_stays_on_the_host_is_found_with_its_reason():
    blocked = CompileSettings(
        policy("bf16-hifi3"), blocklist=Blocklist((Block("aten.gelu.*", "it is slow on this board"),))
    )
    report = check_programs(module_programs(layers(), (X,), blocked))
    (finding,) = report.findings
    assert (finding.kind, finding.call) == (Kind.HOST_SEGMENT, "aten.gelu.default")
    assert finding.message == "stays in PyTorch (blocked), so no trace can be captured: it is slow on this board"
    assert report.programs[0].host_segments == 1


def test_an_operation_without_a_rule_stays_on_the_host():
    class Sums(nn.Module):
        def forward(self, x):
            return (x + 1).cumsum(1)

    (checkable,) = module_programs(Sums(), (X,), SETTINGS)
    assert [fallback.target for fallback in checkable.program.fallbacks] == ["aten.cumsum.default"]


class Largest(nn.Module):
    """A host operation of two results, between calls of TT-NN."""

    def forward(self, x):
        values, indices = (x * 2).topk(3)
        return values.relu(), indices


@pytest.mark.parametrize(
    ("module", "target"),
    [
        (Largest(), "aten.topk.default"),
        (nn.Sequential(nn.Conv1d(64, 64, 1), nn.BatchNorm1d(64), nn.ReLU()), "batch_norm"),
    ],
    ids=["topk", "batch norm in training"],
)
def test_host_operations_of_several_results_are_checked_around(module, target):
    report = check_programs(module_programs(module, (X,), SETTINGS))
    assert {finding.kind for finding in report.findings} == {Kind.HOST_SEGMENT}
    assert any(target in finding.call for finding in report.findings)
    assert report.programs[0].launches > 0


def test_a_module_of_which_nothing_would_run_on_the_device_is_not_accepted():
    with pytest.raises(CompileError, match=r"torch\.compile makes no graph of LSTM"):
        module_programs(nn.LSTM(64, 64), (X,), SETTINGS)


def test_a_graph_break_gives_several_programs_of_different_names():
    programs = module_programs(Breaks(), (X,), SETTINGS)
    assert [checkable.program.name for checkable in programs] == ["graph_0", "graph_1"]
    assert check_programs(programs).accepted


def test_the_module_is_left_as_it_was():
    module = layers()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module_programs(module, (X,), SETTINGS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
