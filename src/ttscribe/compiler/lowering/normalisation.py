"""Layer normalisation and softmax."""

from typing import Any

from torch import fx

from ttscribe.compiler.lowering.builder import Builder
from ttscribe.compiler.lowering.guards import all_of, arguments, floats_only, only_first_result, rank_at_least
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import Reason
from ttscribe.compiler.settings import CompileSettings


def _last_dimension(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    if len(arguments(node)[1]) == 1:
        return None
    return Refusal(Reason.SHAPE, "TT-NN normalises over the last dimension only")


@rule("aten.layer_norm.default", guard=all_of(floats_only, rank_at_least(2), _last_dimension))
def layer_norm(b: Builder, node: fx.Node) -> str:
    positional = arguments(node)
    defaults: tuple[Any, ...] = (None, None, 1e-5)
    x, _, weight, bias, epsilon, *_ = positional + defaults[len(positional) - 2 :]
    keywords = {"weight": weight, "bias": bias}
    rows = {name: b.tensor(item) if item is not None else None for name, item in keywords.items()}
    # TT-NN's own default is 1e-12.
    return b.op("ttnn.layer_norm", b.tensor(x), keywords=rows, epsilon=epsilon)


@rule("aten.native_layer_norm.default", guard=all_of(only_first_result, floats_only, rank_at_least(2), _last_dimension))
def native_layer_norm(b: Builder, node: fx.Node) -> tuple[str, ...]:
    return (layer_norm(b, node),)


@rule("aten._softmax.default", "aten.softmax.int", guard=all_of(floats_only, rank_at_least(2)))
def softmax(b: Builder, node: fx.Node) -> str:
    # The third argument, float32 out of half precision, is for CUDA only.
    return b.op("ttnn.softmax", b.tensor(arguments(node)[0]), dim=arguments(node)[1])
