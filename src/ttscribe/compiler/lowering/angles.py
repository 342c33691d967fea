"""Angles of positions: whole numbers times frequencies, of which only sine and cosine are small numbers.

bfloat16 has 8 bits, so a position of 1000 is off by up to 2, and an angle's error is its sine's, however large the
angle. A sine, though, is within one, and loses next to nothing when it is rounded. So what leads from whole numbers to
a sine stays on the host, where it is float32: two rows for each position, which are the same for all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, fx

from ttscribe.compiler.host import target_name
from ttscribe.compiler.lowering import movement
from ttscribe.compiler.lowering.guards import FLOATS, INTEGERS, value
from ttscribe.compiler.lowering.registry import RULES, Refusal
from ttscribe.compiler.program import Reason

_REFUSAL = Refusal(
    Reason.DTYPE, "angles of whole numbers need more digits than bfloat16's eight bits: sine and cosine are taken first"
)
_PERIODIC = ("aten.sin.default", "aten.cos.default", "aten.tan.default")
_PRODUCTS = ("aten.mm.default", "aten.bmm.default", "aten.matmul.default")


def refuse_angles(
    nodes: Sequence[fx.Node], refusals: dict[fx.Node, Refusal | None], is_known: Callable[[fx.Node], bool]
) -> None:
    """Refuse sines and cosines of what is computed from whole numbers and constants alone, and all that leads there."""
    counted: set[fx.Node] = set()
    for node in nodes:
        if _counts(node, counted, is_known):
            counted.add(node)
    leading = {node for node in counted if target_name(node) in _PERIODIC}
    for node in reversed(nodes):
        if node in leading:
            refusals[node] = refusals[node] or _REFUSAL
            leading |= counted.intersection(node.all_input_nodes)


def _counts(node: fx.Node, counted: set[fx.Node], is_known: Callable[[fx.Node], bool]) -> bool:
    """Whether a node's floats are made of whole numbers and constants, number by number."""
    computed = [item for item in node.all_input_nodes if not is_known(item)]
    whole = all(item in counted or _is(item, INTEGERS) for item in computed)
    return bool(computed) and whole and _is(node, FLOATS) and _element_by_element(node)


def _is(node: fx.Node, dtypes: tuple[torch.dtype, ...]) -> bool:
    described = value(node)
    return isinstance(described, Tensor) and described.dtype in dtypes


def _element_by_element(node: fx.Node) -> bool:
    """Each number of the result is computed of one number of each operand, or is one of theirs."""
    if torch.Tag.pointwise in getattr(node.target, "tags", ()):
        return True
    name = target_name(node)
    if name in _PRODUCTS:
        return bool(value(node.args[0]).shape[-1] == 1)
    rule = RULES.get(name)
    return rule is not None and getattr(rule.emit, "__module__", "") == movement.__name__
