"""Linear layers and matrix products."""

from math import prod

from torch import fx

from ttscribe.compiler.lowering.builder import Builder, bias_rows
from ttscribe.compiler.lowering.guards import all_of, arguments, floats_only, rank_at_least, value
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import Reason
from ttscribe.compiler.settings import CompileSettings


@rule("aten.linear.default", guard=all_of(floats_only, rank_at_least(2)))
def linear(b: Builder, node: fx.Node) -> str:
    x, weight, bias = (*arguments(node), None)[:3]
    known = b.is_known(weight)
    # A known weight is turned once, at load; another by the product itself.
    second = b.device_constant(b.at_setup("aten.t.default", b.places[weight])) if known else b.tensor(weight)
    keywords = {"bias": bias_rows(b, bias)}
    return b.op("ttnn.linear", b.tensor(x), second, keywords=keywords, transpose_b=None if known else True)


def _plain_addmm(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    if node.kwargs.get("alpha", 1) == 1 and node.kwargs.get("beta", 1) == 1:
        return None
    return Refusal(Reason.ARGUMENT, "alpha or beta is not 1; multiply beforehand")


@rule("aten.addmm.default", "aten.baddbmm.default", guard=all_of(floats_only, _plain_addmm))
def addmm(b: Builder, node: fx.Node) -> str:
    bias, x, weight = arguments(node)
    if value(weight).ndim == 2 and tuple(value(bias).shape) == tuple(value(node).shape[-1:]):
        return b.op("ttnn.linear", b.tensor(x), b.tensor(weight), keywords={"bias": bias_rows(b, bias)})
    product = b.op("ttnn.matmul", b.tensor(x), b.tensor(weight))
    return b.op("ttnn.add", product, b.tensor(bias))


def _one_batch(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    left, right = (value(argument).shape for argument in arguments(node))
    same = len(left) == len(right) and (left[:-2] == right[:-2] or prod(left[:-2]) == 1)
    if min(len(left), len(right)) >= 2 and (same or prod(right[:-2]) == 1):
        return None
    return Refusal(Reason.SHAPE, f"TT-NN does not broadcast {list(left)} and {list(right)}; expand them first")


@rule("aten.mm.default", "aten.bmm.default", "aten.matmul.default", guard=all_of(floats_only, _one_batch))
def matmul(b: Builder, node: fx.Node) -> str:
    left, right = arguments(node)
    target = "ttnn.linear" if b.is_known(right) and value(right).ndim == 2 else "ttnn.matmul"
    return b.op(target, b.tensor(left), b.tensor(right))
