"""Whole numbers on the device: PyTorch's have 64 bits and the device's 32, so only what is known to fit goes there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from ttscribe.compiler.host import target_name
from ttscribe.compiler.lowering import movement
from ttscribe.compiler.lowering.guards import arguments, value
from ttscribe.compiler.lowering.registry import RULES, Refusal
from ttscribe.compiler.program import Reason

_TOO_WIDE = Refusal(
    Reason.DTYPE, "64-bit whole numbers that may not fit the device's 32 bits; cast them to int32 if they do"
)
_LIMIT = 1 << 31
_RANGES = ("aten.arange.default", "aten.arange.start", "aten.arange.start_step")
_SUMS = ("aten.add.Tensor", "aten.sub.Tensor", "aten.add.Scalar", "aten.sub.Scalar")
# By which argument each reads rows of a table or of a cache, whose length bounds what can stand there.
_INDICES = {
    "aten.embedding.default": 1,
    "aten.index.Tensor": 1,
    "aten.index_select.default": 2,
    "aten.scatter.src": 2,
    "aten.index_copy.default": 2,
}


def refuse_wide_numbers(graph: fx.Graph, refusals: dict[fx.Node, Refusal | None]) -> None:
    """Refuse what would compute on the device with numbers that may be wider than its own."""
    bounds: dict[fx.Node, int | None] = {}
    for node in graph.nodes:
        bounds[node] = _bound(node, bounds)
    for node in reversed(graph.nodes):
        if node in refusals and refusals[node] is None and _reads_wide(node, bounds, refusals):
            refusals[node] = _TOO_WIDE


def _reads_wide(node: fx.Node, bounds: Mapping[fx.Node, int | None], refusals: Mapping[fx.Node, Any]) -> bool:
    wide = {item for item in (node, *node.all_input_nodes) if _is_wide(item, bounds)}
    return bool(wide) and not all(_only_looks_up(item, node, refusals) for item in wide)


def _is_wide(node: fx.Node, bounds: Mapping[fx.Node, int | None]) -> bool:
    described, bound = value(node), bounds[node]
    return isinstance(described, Tensor) and described.dtype == torch.int64 and (bound is None or bound >= _LIMIT)


def _only_looks_up(item: fx.Node, node: fx.Node, refusals: Mapping[fx.Node, Any]) -> bool:
    """Whether ``node`` uses ``item`` as an index, or moves it or adds a small number to it for nothing else."""
    name = target_name(node)
    if name in _INDICES:
        return item in _nodes(arguments(node)[_INDICES[name]])
    users = [user for user in node.users if user.op != "output"]
    to_look_up = all(refusals.get(user, node) is None and _only_looks_up(node, user, refusals) for user in users)
    return (_moves(node) or name in _SUMS) and len(users) == len(node.users) and to_look_up


def _nodes(argument: Any) -> Iterable[Any]:
    return argument if isinstance(argument, list | tuple) else (argument,)


def _bound(node: fx.Node, bounds: Mapping[fx.Node, int | None]) -> int | None:
    """The largest magnitude that a node's whole numbers can have, or None where only data decides."""
    described, name = value(node), target_name(node) if node.op == "call_function" else ""
    if not isinstance(described, Tensor) or described.dtype.is_floating_point or described.dtype.is_complex:
        return None
    if described.dtype != torch.int64:
        return 1 if described.dtype == torch.bool else _LIMIT - 1
    if name == "aten.argmax.default":
        return _LIMIT - 1
    if name in _RANGES or name == "aten.full.default":
        numbers = arguments(node) if name in _RANGES else arguments(node)[1:]
        return int(max(map(abs, numbers))) if all(isinstance(item, int | float) for item in numbers) else None
    if _moves(node):
        return _most(max, [bounds[item] for item in node.all_input_nodes])
    return _most(sum, [_operand(item, bounds) for item in arguments(node)]) if name in _SUMS else None


def _moves(node: fx.Node) -> bool:
    rule = RULES.get(target_name(node)) if node.op == "call_function" else None
    return rule is not None and getattr(rule.emit, "__module__", "") == movement.__name__


def _operand(item: Any, bounds: Mapping[fx.Node, int | None]) -> int | None:
    return bounds[item] if isinstance(item, fx.Node) else abs(int(item))


def _most(combine: Any, found: list[int | None]) -> int | None:
    return None if not found or None in found else int(combine(found))
