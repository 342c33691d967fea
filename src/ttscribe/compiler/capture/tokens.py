"""Effect tokens out of AOTAutograd's graphs: values that only say in which order calls with effects come.

Lowering keeps such calls in order itself, and no token has a value when the graph runs.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx


def take_tokens_out(graph: fx.Graph) -> set[fx.Node]:
    """Make each ``with_effects(token, operator, ...)`` the operator's own call; gives the placeholders of tokens.

    Tokens among the graph's results become None.
    """
    wrapped = [node for node in graph.nodes if node.target is torch.ops.higher_order.with_effects]
    tokens = {node.args[0] for node in wrapped if node.args[0].op == "placeholder"}
    for node in wrapped:
        _unwrap(node)
    (output,) = (node for node in graph.nodes if node.op == "output")
    output.args = (tuple(None if item in tokens else item for item in output.args[0]),)
    return tokens


def _unwrap(node: fx.Node) -> None:
    arguments: Any = node.args
    token, target, *rest = arguments
    _, *results = node.meta["val"]
    with node.graph.inserting_before(node):
        call = node.graph.call_function(target, tuple(rest), node.kwargs)
    call.meta = {**node.meta, "val": results[0] if len(results) == 1 else tuple(results)}
    for user in list(node.users):
        assert user.target is operator.getitem
        index: Any = user.args[1]
        if index == 0 or len(results) == 1:
            user.replace_all_uses_with(call if index else token)
            node.graph.erase_node(user)
        else:
            user.args = (call, index - 1)
    node.graph.erase_node(node)
