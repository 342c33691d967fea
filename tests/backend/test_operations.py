"""What AOTAutograd takes apart is whole in the program; what no rule can take is refused with a reason."""

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from backend.comparing import X, check
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.lowering import lower, refuse
from ttscribe.compiler.lowering.guards import guard_aten_clone
from ttscribe.compiler.program import Reason
from ttscribe.compiler.settings import CompileSettings

Q, K = (torch.randn(2, 4, length, 32, generator=torch.Generator().manual_seed(length)) for length in (3, 5))
ALLOWED = torch.rand(2, 1, 3, 5, generator=torch.Generator().manual_seed(0)) > 0.3
ALLOWED[..., 0] = True


@pytest.mark.parametrize(
    "mask",
    [
        None,
        ALLOWED,
        ALLOWED[:, :, :1],
        ALLOWED[0, 0],
        torch.randn(3, 5),
        torch.randn(2, 4, 3, 5),
        torch.randn(1, 1, 1, 5),
    ],
    ids=["none", "boolean", "of keys", "matrix", "added", "of heads", "row"],
)
@pytest.mark.parametrize("constant", [True, False])
def test_attention_is_one_call_under_every_kind_of_mask(compiled, mask, constant):
    def attend(q, k, given=mask):
        return F.scaled_dot_product_attention(q * 0.5, k, k, attn_mask=mask if constant else given, scale=0.3)

    report = check(compiled, attend, Q, K, *(() if mask is None or constant else (mask,)))
    assert report.ledger["ttnn.transformer.scaled_dot_product_attention"] == 1
    assert not {"ttnn.matmul", "ttnn.softmax"} & set(report.ledger)
    assert report.share == 1


def test_attention_shares_keys_among_queries(compiled):
    report = check(compiled, lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True), Q, K[:, :2])
    assert report.ledger["ttnn.transformer.scaled_dot_product_attention"] == 1


@pytest.mark.parametrize("keys", [3, 5])
def test_causal_attention_is_lowered_for_any_number_of_keys(compiled, keys):
    attend = lambda q, k: F.scaled_dot_product_attention(q, k, k, is_causal=True)  # noqa: E731
    assert check(compiled, attend, Q, K[:, :, :keys]).share == 1


def test_linear_layers_are_whole_in_any_rank(compiled):
    module = nn.Linear(8, 3)
    report = check(compiled, lambda x: (module(x), module(x[0]), module(x[None])), X)
    assert report.ledger["ttnn.linear"] == 3
    assert "ttnn.matmul" not in report.ledger


@pytest.fixture
def symbol():
    return ShapeEnv().create_unbacked_symint()


def clone_of(described) -> tuple[fx.Graph, fx.Node]:
    graph = fx.Graph()
    given = graph.placeholder("length")
    node = graph.call_function(torch.ops.aten.clone.default, (given,))
    given.meta["val"] = node.meta["val"] = described
    graph.output((node,))
    return graph, node


def test_clone_of_a_symbolic_integer_is_refused_with_its_own_reason(symbol):
    _, node = clone_of(symbol)
    refusal = guard_aten_clone(node, CompileSettings())
    assert refusal == refuse(node, CompileSettings())
    assert refusal.reason is Reason.SYMBOLIC_INTEGER
    assert refusal.sentence == f"aten.clone of the symbolic integer {symbol} has no tensor to copy"


def test_clone_of_a_tensor_is_not_refused():
    _, node = clone_of(torch.empty(2, 2, device="meta"))
    assert guard_aten_clone(node, CompileSettings()) is None
    assert refuse(node, CompileSettings()) is None


def test_a_graph_that_clones_a_symbolic_integer_becomes_a_program(symbol):
    graph, _ = clone_of(symbol)
    program = lower(CapturedGraph("cloned", graph, {}, ("length",), (next(reversed(graph.nodes)).args[0][0],)))
    assert [(item.target, item.reason) for item in program.fallbacks] == [
        ("aten.clone.default", Reason.SYMBOLIC_INTEGER)
    ]
