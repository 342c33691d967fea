"""Put back together what AOTAutograd takes apart: linear layers, attention, and joins with nothing.

It traces below autograd, where PyTorch has replaced composite operations by their parts, and chosen the kernels of the
device that the example inputs are on: the CPU's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from ttscribe.compiler.host import laid_out

Rewrite: TypeAlias = Callable[[fx.Node, set[fx.Node]], None]

_VIEWS = ("aten.view.default", "aten._unsafe_view.default")
_MOVES = (*_VIEWS, "aten.transpose.int", "aten.permute.default", "aten.clone.default")


def recover(graph: fx.Graph, constants: set[fx.Node]) -> None:
    """Rewrite ``graph`` in place; ``constants`` are its weights."""
    for node in list(graph.nodes):
        rewrite = _REWRITES.get(str(node.target))
        if rewrite is not None:
            rewrite(node, constants)
    graph.eliminate_dead_code()


def _is(argument: Any, *targets: str) -> bool:
    return isinstance(argument, fx.Node) and str(argument.target) in targets


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
    product: Any = view.args[0]
    # addmm's keywords are alpha and beta, with which it is no linear layer.
    if not _is(product, "aten.addmm.default", "aten.mm.default") or product.kwargs or len(product.users) != 1:
        return
    *bias, rows, turned = product.args
    x = rows.args[0] if _is(rows, *_VIEWS) else None
    if x is None or not _keeps_rows(x, rows, view) or (bias and _sizes(bias[0]) != _sizes(view)[-1:]):
        return
    weight = _weight(view, turned, constants)
    if weight is not None:
        arguments = (x, weight, *bias)
        view.replace_all_uses_with(_insert(view, torch.ops.aten.linear.default, arguments, _value(view)))


def _keeps_rows(x: fx.Node, rows: fx.Node, view: fx.Node) -> bool:
    """Whether ``rows`` has the rows of ``x`` in one dimension, and ``view`` has them as ``x`` does."""
    sizes = _sizes(x)
    return len(sizes) > 1 and _sizes(rows)[1:] == sizes[-1:] and _sizes(view)[:-1] == sizes[:-1]


def _weight(before: fx.Node, turned: fx.Node, constants: set[fx.Node]) -> Any:
    """The matrix of which ``turned`` is the transpose, where that costs nothing at run time."""
    if _is(turned, "aten.t.default"):
        return turned.args[0]
    return _insert(before, torch.ops.aten.t.default, (turned,), _value(turned).t()) if turned in constants else None


def _attention(node: fx.Node, _constants: set[fx.Node]) -> None:
    """The CPU's own attention is the general one, where only its first result is used."""
    # The second result is the log of the softmax's denominator, which only a gradient needs.
    users = list(node.users)
    if any(user.args[1] != 0 for user in users):
        return
    keywords: dict[str, Any] = {"scale": node.kwargs.get("scale")}
    if keywords["scale"] is not None and node.args[0] not in node.args[1:3]:
        keywords["scale"] *= _taken_off(node.args[0])
    query, key, value, *rest = node.args
    dropout_and_causal = (*rest, *(0.0, False)[len(rest) :])
    arguments = (query, key, value, _allowed(node.kwargs.get("attn_mask")), *dropout_and_causal)
    if _sizes(query)[1] != _sizes(key)[1]:
        keywords["enable_gqa"] = True
    target = torch.ops.aten.scaled_dot_product_attention.default
    whole = _insert(node, target, arguments, _value(node)[0], **keywords)
    for user in users:
        user.replace_all_uses_with(whole)


def _taken_off(query: Any) -> Any:
    """The number that queries were multiplied by on the way, which attention can do as well."""
    # Hugging Face's Whisper scales its queries itself, for the sake of rounding, and asks attention for a scale of 1.
    while _is(query, *_MOVES) and len(query.users) == 1:
        query = query.args[0]
    if not _is(query, "aten.mul.Tensor") or len(query.users) != 1 or not isinstance(query.args[1], float):
        return 1.0
    query.replace_all_uses_with(query.args[0])
    return query.args[1]


def _allowed(mask: Any) -> Any:
    """``where(allowed, 0, -inf)`` is ``allowed``; any other mask stays as it is."""
    # PyTorch makes a boolean mask into an additive one before it calls the CPU's kernel.
    if not _is(mask, "aten.where.self"):
        return mask
    allowed, *choices = mask.args
    numbers = [choice.args[0] for choice in choices if _is(choice, "aten.scalar_tensor.default")]
    return allowed if numbers == [0.0, float("-inf")] else mask


def _cat(node: fx.Node, _constants: set[fx.Node]) -> None:
    """Parts without elements add nothing, such as a cache before its first token."""
    # Hugging Face's DynamicCache begins with torch.tensor([]), of one dimension, which torch.cat lets pass.
    parts: Any = node.args[0]
    kept = [part for part in parts if not _is_empty(_value(part))]
    if not kept or len(kept) == len(parts) or _value(kept[0]).dtype != _value(node).dtype:
        return
    if len(kept) == 1:
        node.replace_all_uses_with(_insert(node, torch.ops.aten.clone.default, (kept[0],), _value(node)))
    else:
        node.args = (kept, *node.args[1:])


def _by_memory_order(node: fx.Node, _constants: set[fx.Node]) -> None:
    """What reads a computed tensor's storage gets it as PyTorch laid it out, if all of the storage is that tensor."""
    # as_strided addresses memory, not dimensions, and what leaves the device is contiguous.
    base: Any = node.args[0]
    if base.op != "call_function":
        return
    described = _value(base)
    steps = described.stride()
    whole = described.untyped_storage().nbytes() == described.numel() * described.element_size()
    if all(type(step) is int for step in (*described.shape, *steps)) and whole:
        node.args = (_insert(node, laid_out, (base, list(steps)), described), *node.args[1:])


def _is_empty(tensor: Tensor) -> bool:
    return any(type(size) is int and size == 0 for size in tensor.shape)


_REWRITES: dict[str, Rewrite] = {
    **dict.fromkeys(_VIEWS, _linear),
    "aten._scaled_dot_product_flash_attention_for_cpu.default": _attention,
    "aten.cat.default": _cat,
    **dict.fromkeys(("aten.as_strided.default", "aten.as_strided_scatter.default"), _by_memory_order),
}
