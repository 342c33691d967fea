"""Put back together what AOTAutograd takes apart: linear layers, attention, and joins with nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten
_VIEWS = (aten.view.default, aten._unsafe_view.default)
_MOVES = (*_VIEWS, aten.transpose.int, aten.permute.default, aten.clone.default)
_ATTENTION = aten._scaled_dot_product_flash_attention_for_cpu.default


def recover(graph: fx.Graph, constants: set[fx.Node]) -> None:
    """Rewrite ``graph`` in place; ``constants`` are its weights."""
    for node in list(graph.nodes):
        rewrite = _REWRITES.get(node.target) if node.op == "call_function" else None
        if rewrite is not None:
            rewrite(node, constants)
    graph.eliminate_dead_code()


def _value(node: Any) -> Any:
    return node.meta.get("val") if isinstance(node, fx.Node) else None


def _sizes(node: Any) -> list[str]:
    """A shape as text: to compare symbolic sizes themselves would add guards to them."""
    return [str(size) for size in _value(node).shape]


def _insert(before: fx.Node, target: Any, arguments: tuple[Any, ...], like: Any, **keywords: Any) -> fx.Node:
    with before.graph.inserting_before(before):
        node = before.graph.call_function(target, arguments, keywords)
    node.meta = {**before.meta, "val": like}
    return node


def _linear(view: fx.Node, constants: set[fx.Node]) -> None:
    """``view(addmm(bias, view(x), t(weight)))`` is ``linear(x, weight, bias)``; so is ``mm`` without the bias."""
    product = view.args[0]
    if not isinstance(product, fx.Node) or product.target not in (aten.addmm.default, aten.mm.default):
        return
    if product.kwargs or len(product.users) != 1:
        return
    *bias, rows, turned = product.args
    x = rows.args[0] if isinstance(rows, fx.Node) and rows.target in _VIEWS else None
    if not isinstance(x, fx.Node) or not isinstance(turned, fx.Node) or (bias and _value(bias[0]).ndim != 1):
        return
    if _sizes(rows)[1:] != _sizes(x)[-1:] or _sizes(view)[:-1] != _sizes(x)[:-1]:
        return
    weight = _weight(view, turned, constants)
    if weight is not None:
        view.replace_all_uses_with(_insert(view, aten.linear.default, (x, weight, *bias), _value(view)))


def _weight(before: fx.Node, turned: fx.Node, constants: set[fx.Node]) -> fx.Node | None:
    """The matrix of which ``turned`` is the transpose, where that costs nothing at run time."""
    if turned.target is aten.t.default:
        return turned.args[0]  # type: ignore[return-value]
    return _insert(before, aten.t.default, (turned,), _value(turned).t()) if turned in constants else None


def _attention(node: fx.Node, _constants: set[fx.Node]) -> None:
    """The CPU's own attention is the general one, where only its first result is used."""
    users = list(node.users)
    if any(user.target.__name__ != "getitem" or user.args[1] != 0 for user in users):  # type: ignore[union-attr]
        return
    query, key, value, *rest = node.args
    dropout_and_causal = (*rest, *(0.0, False)[len(rest) :])
    arguments = (query, key, value, _allowed(node.kwargs.get("attn_mask")), *dropout_and_causal)
    scale: Any = node.kwargs.get("scale")
    if scale is not None:
        scale *= _taken_off(query)
    whole = _insert(node, aten.scaled_dot_product_attention.default, arguments, _value(node)[0], scale=scale)
    for user in users:
        user.replace_all_uses_with(whole)


def _taken_off(query: Any) -> float:
    """The number that queries were multiplied by on the way, which attention can do as well."""
    while isinstance(query, fx.Node) and len(query.users) == 1 and query.target in _MOVES:
        query = query.args[0]
    scaled = isinstance(query, fx.Node) and len(query.users) == 1 and query.target is aten.mul.Tensor
    if not scaled or not isinstance(query.args[1], float):
        return 1.0
    query.replace_all_uses_with(query.args[0])
    return query.args[1]


def _allowed(mask: Any) -> Any:
    """``where(allowed, 0, -inf)`` is ``allowed``; any other mask stays as it is."""
    if isinstance(mask, fx.Node) and mask.target is aten.where.self:
        allowed, *choices = mask.args
        if [_literal(choice) for choice in choices] == [0.0, float("-inf")]:
            return allowed
    return mask


def _literal(node: Any) -> float | None:
    """The number that a tensor of no dimensions is made from."""
    made = isinstance(node, fx.Node) and node.target is aten.scalar_tensor.default
    return node.args[0] if made else None


def _cat(node: fx.Node, _constants: set[fx.Node]) -> None:
    """Parts without elements add nothing, such as a cache before its first token."""
    parts: Any = node.args[0]
    kept = [part for part in parts if not _is_empty(_value(part))]
    if not kept or len(kept) == len(parts) or _value(kept[0]).dtype != _value(node).dtype:
        return
    if len(kept) == 1:
        node.replace_all_uses_with(_insert(node, aten.clone.default, (kept[0],), _value(node)))
    else:
        node.args = (kept, *node.args[1:])


def _is_empty(tensor: Tensor) -> bool:
    return any(type(size) is int and size == 0 for size in tensor.shape)


_REWRITES: dict[Any, Callable[[fx.Node, set[fx.Node]], None]] = {
    **dict.fromkeys(_VIEWS, _linear),
    _ATTENTION: _attention,
    aten.cat.default: _cat,
}
