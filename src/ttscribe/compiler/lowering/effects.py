"""What a call does besides giving its result: it draws random numbers, or checks something that may not hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

from ttscribe.compiler.host import target_name
from ttscribe.compiler.lowering.registry import Refusal
from ttscribe.compiler.program import Reason

# They check element types, or tell a tracer what a number may be: nothing that a run could change.
_SETTLED_BY_TRACING = {
    "aten._assert_tensor_metadata.default",
    "aten.sym_constrain_range.default",
    "aten.sym_constrain_range_for_size.default",
}
# Arguments by which an operator that may draw does not.
_WITHOUT_DRAWING = {"dropout_p": 0, "train": False, "training": False}


def draws(node: fx.Node) -> bool:
    """Whether a call takes numbers from PyTorch's generator, as its operator's own tag says that it may."""
    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    given = _by_parameter(node)
    if target_name(node) == "aten.dropout.default" and not given["p"]:
        return False
    return not any(given.get(name) == value for name, value in _WITHOUT_DRAWING.items())


def _by_parameter(node: fx.Node) -> dict[str, Any]:
    parameters = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001 - there is no public way
    defaults = {parameter.name: parameter.default_value for parameter in parameters}
    positional = dict(zip(defaults, node.args, strict=False))
    return {**defaults, **positional, **node.kwargs}


def has_effects(node: fx.Node) -> bool:
    """Whether a call has to run although nothing reads its result, once in every run, and in its turn."""
    if node.op != "call_function" or target_name(node) in _SETTLED_BY_TRACING:
        return False
    random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    return draws(node) if random else node.is_impure()


def guard_random(node: fx.Node) -> Refusal | None:
    if not draws(node):
        return None
    return Refusal(Reason.RANDOM, "it draws random numbers, which come from PyTorch's generator on the host")


def turns(nodes: Iterable[fx.Node]) -> dict[fx.Node, fx.Node]:
    """For each call with effects the one that comes before it: draws in another order are other draws."""
    acting = [node for node in nodes if has_effects(node)]
    return dict(zip(acting[1:], acting, strict=False))
