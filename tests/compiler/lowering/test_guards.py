"""What guards refuse: for the right reason, and the host computes it right."""

from dataclasses import replace

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from compiler.lowering.one_node import call, check, lowered
from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.lowering import RULES, Refusal, lower, refuse
from ttscribe.compiler.lowering.builder import DEVICE_DTYPES
from ttscribe.compiler.program import Reason
from ttscribe.compiler.settings import POLICIES, CompileSettings
from ttscribe.devices.emulator import EmulatedDevice


def floats(*shape, dtype=torch.float32):
    return torch.linspace(-2, 3, torch.Size(shape).numel()).reshape(shape).to(dtype)


def whole(*shape, dtype=torch.int64):
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)


X, IDS, TRUTH = floats(3, 5), whole(3, 5), floats(3, 5) > 0
Q, K = floats(1, 2, 3, 32), floats(1, 2, 7, 32)
CACHE = floats(1, 2, 8, 4)

REFUSED = {
    Reason.DTYPE: [
        ("aten.relu.default", call(IDS)),
        ("aten.relu.default", call(floats(3, 5, dtype=torch.float64))),
        ("aten.relu.default", call(floats(3, 5, dtype=torch.float16))),
        ("aten.sigmoid.default", call(IDS)),
        ("aten.clamp.default", call(IDS, 1, 3)),
        ("aten.mul.Tensor", call(IDS, 2)),
        ("aten.add.Tensor", call(IDS, IDS)),
        ("aten.add.Tensor", call(IDS, 2**40)),
        ("aten.add.Tensor", call(IDS, 2.5)),
        ("aten.add.Tensor", call(IDS, 5, alpha=2**40)),
        ("aten.add.Tensor", call(X, IDS)),
        ("aten.add.Tensor", call(TRUTH, 1)),
        ("aten.add.Tensor", call(whole(3, 5, dtype=torch.uint8), 250)),
        ("aten.eq.Tensor", call(TRUTH, TRUTH)),
        ("aten.eq.Tensor", call(X, IDS)),
        ("aten.gt.Scalar", call(IDS, 2.5)),
        ("aten.gt.Scalar", call(IDS, float("inf"))),
        ("aten.lt.Scalar", call(IDS, 2**40)),
        ("aten.lt.Scalar", call(whole(3, 5, dtype=torch.uint8), -1)),
        ("aten.logical_and.default", call(X, X)),
        ("aten.bitwise_and.Tensor", call(IDS, IDS)),
        ("aten.where.self", call(TRUTH, IDS, IDS.to(torch.int32))),
        ("aten.where.ScalarOther", call(TRUTH, IDS, 0)),
        ("aten.masked_fill.Scalar", call(IDS, TRUTH, 0)),
        ("aten.to.dtype", call(X, torch.int64)),
        ("aten._to_copy.default", call(IDS, dtype=torch.float32)),
        ("aten.copy.default", call(IDS, X)),
        ("aten.copy.default", call(TRUTH, X)),
        ("aten.linear.default", call(IDS, IDS)),
        ("aten.matmul.default", call(IDS, IDS.T)),
        ("aten.embedding.default", call(whole(4, 8), IDS % 4)),
        ("aten.index.Tensor", call(whole(4, 8), [IDS % 4])),
        ("aten.sum.dim_IntList", call(IDS, [1])),
        ("aten.argmax.default", call(IDS, -1)),
        ("aten.scatter.src", call(IDS, 1, IDS % 5, IDS)),
    ],
    Reason.SHAPE: [
        ("aten.relu.default", call(floats(0, 5))),
        ("aten.relu.default", call(floats())),
        ("aten.copy.default", call(X, floats(5))),
        ("aten.linear.default", call(floats(5), X)),
        ("aten.t.default", call(floats(5))),
        ("aten.matmul.default", call(X, floats(5))),
        ("aten.matmul.default", call(floats(5), floats(2, 5, 3))),
        ("aten.matmul.default", call(floats(2, 1, 4, 5), floats(3, 5, 6))),
        (
            "aten.convolution.default",
            call(floats(1, 2, 5, 5), floats(3, 2, 2, 2), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
        ),
        ("aten.scaled_dot_product_attention.default", call(Q[0], K[0], K[0])),
        ("aten.scaled_dot_product_attention.default", call(Q, K, floats(1, 2, 7, 16))),
        (
            "aten.scaled_dot_product_attention.default",
            call(Q[..., :5], K[:, :1, :, :5], K[:, :1, :, :5], enable_gqa=True),
        ),
        ("aten.scaled_dot_product_attention.default", call(Q.expand(2, 2, 3, 32), K, K)),
        ("aten.layer_norm.default", call(X, [3, 5])),
        ("aten.layer_norm.default", call(floats(5), [5])),
        ("aten.softmax.int", call(floats(5), 0)),
        ("aten.scatter.src", call(CACHE, 2, whole(1, 2, 1, 4) % 8, floats(1, 2, 3, 4))),
    ],
    Reason.ARGUMENT: [
        ("aten.addmm.default", call(floats(4), X, floats(5, 4), alpha=2)),
        ("aten.addmm.default", call(floats(4), X, floats(5, 4), beta=0.5)),
        ("aten.convolution.default", call(floats(1, 2, 9), floats(2, 3, 2), None, [1], [0], [1], True, [0], 1)),
        ("aten.index.Tensor", call(X, [whole(2), whole(2)])),
        ("aten.index.Tensor", call(floats(4, 5, 6), [whole(2)])),
        ("aten.index_select.default", call(floats(4, 5, 6), 1, whole(2))),
        ("aten.index_select.default", call(floats(1, 5, 6), 2, whole(2))),
        ("aten.native_layer_norm.default", call(X, [5], None, None, 1e-5, outputs=(0, 1))),
        ("aten._scaled_dot_product_flash_attention_for_cpu.default", call(Q, Q, Q, outputs=(0, 1))),
        ("aten.sum.dim_IntList", call(floats(2, 3, 5), [0, 1])),
        ("aten.mean.dim", call(X, None, True)),
        ("aten.amax.default", call(X, [], True)),
        ("aten.argmax.default", call(X, 0)),
        ("aten.argmax.default", call(X, None, True)),
    ],
    Reason.NO_RULE: [("aten.cumsum.default", call(X, 1)), ("aten.sort.default", call(X))],
    Reason.NOT_A_TENSOR: [("aten.size.default", call(X))],
}
CASES = [(target, drawn, reason) for reason, calls in REFUSED.items() for target, drawn in calls]


@pytest.mark.parametrize(
    ("target", "drawn", "reason"), CASES, ids=[f"{reason.value}-{target}" for target, _, reason in CASES]
)
def test_refused_and_computed_on_the_host(target, drawn, reason):
    # On the host, whole numbers would stay where they are without being asked about.
    on_device = all(tensor.dtype in DEVICE_DTYPES for tensor in drawn.tensors) and reason is not Reason.NOT_A_TENSOR
    fallbacks = lowered(target, drawn, on_device=on_device).fallbacks
    assert {fallback.reason for fallback in fallbacks} == {reason}
    assert all(len(fallback.sentence) > 20 for fallback in fallbacks)
    if reason is not Reason.NOT_A_TENSOR:
        check(target, drawn)


def traced(function, *arguments, mode="symbolic"):
    """A graph whose shapes are known only when the program runs, unless traced in mode "real"."""
    graph = make_fx(function, tracing_mode=mode)(*arguments).graph
    inputs = tuple(node.name for node in graph.nodes if node.op == "placeholder")
    (output,) = (node for node in graph.nodes if node.op == "output")
    return CapturedGraph("traced", graph, {}, inputs, (output.args[0],))


def test_symbolic_shapes_and_numbers_have_reasons_of_their_own():
    program = lower(traced(lambda x: x.clone().view(x.shape[1], x.shape[0]) + 1, X))
    reasons = {item.target: item.reason for item in program.fallbacks}
    assert reasons["aten.clone.default"] is Reason.SYMBOLIC_SHAPE
    assert reasons["aten.view.default"] is Reason.SYMBOLIC_INTEGER
    assert all(item.sentence for item in program.fallbacks)
    longer = floats(7, 2)
    (result,) = EmulatedDevice(exact=True).load(program, {})(longer)
    assert torch.equal(result, longer.view(2, 7) + 1)


def test_a_clone_of_a_symbolic_integer_is_refused_for_that():
    graph = traced(lambda x: x + x.shape[0], X).graph
    (size,) = (node for node in graph.nodes if "sym_size" in str(node.target))
    with graph.inserting_after(size):
        node = graph.call_function(torch.ops.aten.clone.default, (size,))
    node.meta["val"] = size.meta["val"]
    refusal = refuse(node, CompileSettings())
    assert refusal.reason is Reason.SYMBOLIC_INTEGER
    assert "aten.clone of the symbolic integer" in refusal.sentence


@pytest.mark.parametrize(
    ("block", "blocked"),
    [
        (Block("aten.relu.*", "too slow"), True),
        (Block("aten.relu.default", "too slow", shape="[3, *]"), True),
        (Block("aten.relu.default", "too slow", shape="[4, *]"), False),
        (Block("aten.tanh.*", "too slow"), False),
        (Block("*", "too slow", model="other"), False),
    ],
)
def test_blocklists_keep_operations_on_the_host(block, blocked):
    graph = traced(torch.relu, X, mode="real")
    fallbacks = lower(graph, CompileSettings(blocklist=Blocklist((block,), "one"))).fallbacks
    assert [(item.reason, item.sentence) for item in fallbacks] == [(Reason.BLOCKED, "too slow")] * blocked


@pytest.mark.parametrize(
    ("board", "precision", "refused"),
    [("n150", "bf16-hifi3", False), ("p150", "bf16-hifi3", True), ("n150", "bfp8-hifi2", True)],
)
def test_a_guard_sees_board_and_precision(monkeypatch, board, precision, refused):
    def guard(_node, settings):
        fits = settings.board.architecture == "wormhole_b0" and settings.precision.fidelity == "HiFi3"
        return None if fits else Refusal(Reason.ARGUMENT, "not on this board, or not at this precision")

    monkeypatch.setitem(RULES, "aten.relu.default", replace(RULES["aten.relu.default"], guard=guard))
    settings = CompileSettings(POLICIES[precision], BOARDS[board])
    fallbacks = lower(traced(torch.relu, X, mode="real"), settings).fallbacks
    assert [item.reason for item in fallbacks] == [Reason.ARGUMENT] * refused


def test_results_of_a_refused_call_are_refused_too():
    program = check("aten.sort.default", call(X))
    assert [item.target for item in program.fallbacks] == ["aten.sort.default", "operator.getitem", "operator.getitem"]
