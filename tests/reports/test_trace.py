"""The operation trace of a small Whisper, and of small modules that show one thing each."""

import operator
import re

import numpy as np
import pytest
import torch
from functorch.compile import make_boxed_func
from torch import nn
from torch._dynamo.backends.common import aot_autograd

from compiler.building import TINY
from reports.conftest import SETTINGS
from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.capture.dynamo import captured
from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import PROGRAMS
from ttscribe.evaluation.correlation import correlation
from ttscribe.reports.trace import trace

# One worker compiles the small Whisper, once.
pytestmark = pytest.mark.xdist_group("reports of a small Whisper")

STATUSES = {"lowered", "fused", "removed", "constant"}


@pytest.fixture
def of(variations):
    """What became of one operation of the small Whisper: how many nodes of each status."""
    return lambda target: {
        status: sum(each.statuses.get(status, 0) for each in variations if each.target == target)
        for status in STATUSES
        if any(status in each.statuses for each in variations if each.target == target)
    }


class Sorts(nn.Module):
    """A sort, which nothing lowers, between two operations that are lowered."""

    def forward(self, x):
        return (x.relu() + 1).sort(-1).values * 2


def sorts(settings):
    graph = capture_method("sorts", Sorts(), Sorts().forward, {"x": torch.zeros(1, 64, 64)}, on_device=False)
    return {each.target: each for each in traced(graph, settings)}


def traced(graph, settings):
    return trace([compile_graph(graph, settings)], settings)


def settings(name="exact", *blocks):
    return CompileSettings(policy(name), blocklist=Blocklist(blocks))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_node_is_counted_once(compiled, name):
    (program,) = (each for each in compiled if each.program.name == name)
    calls = [
        node
        for node in program.captured.graph.nodes
        if node.op == "call_function" and node.target is not operator.getitem
    ]
    counted = trace([program], SETTINGS, isolated=False)
    assert sum(each.count for each in counted) == len(calls)


def test_programs_are_counted_together(compiled, variations):
    alone = [trace([each], SETTINGS, isolated=False) for each in compiled]
    assert sum(each.count for each in variations) == sum(each.count for found in alone for each in found)


def test_each_form_has_one_row_in_order(variations):
    keys = [(each.target, each.inputs) for each in variations]
    assert keys == sorted(set(keys))


def test_nothing_of_whisper_stays_on_the_host(variations):
    assert {status for each in variations for status in each.statuses} == STATUSES
    assert not any(each.on_host or each.reasons for each in variations)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("aten.scaled_dot_product_attention.default", {"lowered": 18}),
        ("aten.gelu.default", {"fused": 12}),
        ("aten.arange.default", {"constant": 5}),
        ("aten.conv1d.default", {"lowered": 2}),
    ],
)
def test_an_operation_becomes_what_the_programs_show(of, target, expected):
    assert of(target) == expected


def test_layers_are_counted_from_the_configuration(of):
    """A norm before attention and before the products, cross attention in the decoder, and one at the end of each."""
    encoder, decoder = 2 * TINY.encoder_layers + 1, 3 * TINY.decoder_layers + 1
    assert of("aten.layer_norm.default") == {"lowered": encoder + 4 * decoder}


def test_a_fused_operation_names_the_call_that_it_is_part_of(variations):
    within = [each.calls for each in variations if each.target == "aten.gelu.default"]
    assert all(calls for calls in within)
    assert {target for calls in within for target in calls} <= {"ttnn.linear", "ttnn.conv1d", "ttnn.gelu"}


def test_what_needs_no_call_has_none_and_runs_alone_nowhere(variations):
    for each in variations:
        if set(each.statuses) <= {"removed", "constant"}:
            assert (each.calls, each.pcc) == ({}, None)


def test_a_blocked_operation_says_so_with_the_reason_of_the_list():
    found = sorts(settings("exact", Block("aten.relu.*", "to see what happens")))["aten.relu.default"]
    assert (found.statuses, found.on_host, found.calls, found.pcc) == ({"blocked": 1}, True, {}, None)
    assert found.reasons == ("blocked: to see what happens",)


def test_an_operation_without_a_rule_is_on_the_host_with_its_reason():
    found = sorts(settings())
    assert found["aten.sort.default"].statuses == {"host": 1}
    assert found["aten.sort.default"].on_host
    (reason,) = found["aten.sort.default"].reasons
    assert reason.startswith("no_rule: ")
    assert not found["aten.relu.default"].on_host


def test_a_shape_that_changes_is_shown_as_a_symbol():
    def collect(module, _):
        traces.extend(traced(captured(module), settings()))
        return make_boxed_func(module.forward)

    traces = []
    torch._dynamo.reset()
    with torch.no_grad():
        compile_aot = aot_autograd(fw_compiler=collect, inference_compiler=collect)
        torch.compile(lambda x: x.relu(), backend=compile_aot, dynamic=True)(torch.zeros(3, 64))
    torch._dynamo.reset()
    (found,) = (each for each in traces if each.target == "aten.relu.default")
    assert re.fullmatch(r"float32\[s\d+, s\d+\]", found.inputs)
    assert found.pcc is None


def test_alone_and_exact_an_operation_is_pytorchs():
    module = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.LayerNorm(128)).eval()
    graph = capture_method("layers", module, module.forward, {"x": torch.zeros(1, 32, 64)})
    found = {each.target: each.pcc for each in traced(graph, settings())}
    assert set(found) == {"aten.linear.default", "aten.gelu.default", "aten.layer_norm.default"}
    assert list(found.values()) == pytest.approx([1.0] * 3, abs=1e-9)


def test_alone_and_rounded_an_operation_is_near_pytorchs_and_not_the_same(variations):
    found = [each.pcc for each in variations if each.pcc is not None]
    assert len(found) > 20
    assert all(0.99 < pcc < 1 for pcc in found)


def test_eight_bits_correlate_less_than_sixteen():
    module = nn.Linear(64, 128)
    graph = capture_method("layers", module, module.forward, {"x": torch.zeros(1, 32, 64)})

    def pcc(name):
        (found,) = traced(graph, settings(name))
        return found.pcc

    assert pcc("bfp8-hifi2") < pcc("bf16-hifi3") < pcc("exact")


def test_nothing_runs_alone_unasked(compiled):
    found = trace(compiled[:1], SETTINGS, isolated=False)
    assert {each.pcc for each in found} == {None}


@pytest.mark.parametrize("seed", range(4))
def test_correlation_is_numpys(seed):
    random = np.random.default_rng(seed)
    first, second = random.normal(3, 2, (2, 5, 7)), random.normal(size=(2, 5, 7))
    second = second + seed * first
    expected = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert correlation(torch.tensor(first), torch.tensor(second)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second"),
    [([1.0, 1, 1], [1.0, 2, 3]), ([1.0], [1.0]), ([1.0, float("nan")], [1.0, 2]), ([1.0, 2], [1.0, float("inf")])],
    ids=["does not vary", "a single one", "not a number", "infinite"],
)
def test_there_is_no_correlation_of_what_cannot_be_compared(first, second):
    assert correlation(torch.tensor(first), torch.tensor(second)) is None
