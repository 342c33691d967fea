"""Scaled-dot-product attention."""

import math
from typing import Any

from torch import Tensor, fx

from ttscribe.compiler.lowering.builder import Builder
from ttscribe.compiler.lowering.guards import FLOATS, all_of, arguments, only_first_result, tensors, value
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import TILE_SIZE, Reason, Role
from ttscribe.compiler.settings import CompileSettings

# Far enough below any score that its exponential is zero, and finite in bfloat16, so that no row becomes NaN.
_MASKED = -1e9


def _arguments(node: fx.Node) -> dict[str, Any]:
    names: tuple[str, ...] = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
    if "flash_attention_for_cpu" in str(node.target):
        names = ("query", "key", "value", "dropout_p", "is_causal")
    return {**dict(zip(names, arguments(node), strict=False)), **node.kwargs}


def _attention(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    named = _arguments(node)
    query, key = value(named["query"]), value(named["key"])
    if any(tensor.dtype not in FLOATS for tensor in tensors([named["query"], named["key"], named["value"]])):
        return Refusal(Reason.DTYPE, "attention is computed for floating point only")
    if query.ndim != 4 or key.ndim != 4:
        return Refusal(Reason.SHAPE, "attention is lowered for [batch, heads, length, width] only")
    if named.get("dropout_p", 0.0):
        return Refusal(Reason.ARGUMENT, "dropout is for training; call module.eval() first")
    if value(named["value"]).shape != key.shape or query.shape[0] != key.shape[0]:
        return Refusal(Reason.SHAPE, "keys and values of one shape and the queries' batch are attended to only")
    if query.shape[1] != key.shape[1] and not _shares_keys(named):
        return Refusal(Reason.SHAPE, "these heads of keys cannot be shared among the queries': repeat them first")
    mask = named.get("attn_mask")
    return None if mask is None else _mask(value(mask), query, key)


def _shares_keys(named: dict[str, Any]) -> bool:
    """Whether TT-NN itself repeats the keys' heads, as it does where it computes attention in one call."""
    query, key = value(named["query"]), value(named["key"])
    # A plain product does not repeat heads: TT-NN broadcasts leading dimensions of one only.
    one_call = query.shape[-1] % TILE_SIZE == 0 and not named.get("is_causal", False)
    return bool(named.get("enable_gqa", False)) and one_call and query.shape[1] % key.shape[1] == 0


def _mask(mask: Tensor, query: Tensor, key: Tensor) -> Refusal | None:
    full = (query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    sizes = zip(reversed(mask.shape), reversed(full), strict=False)
    if mask.ndim <= len(full) and all(size in (1, whole) for size, whole in sizes):
        return None
    return Refusal(Reason.SHAPE, f"the mask {[*mask.shape]} does not broadcast to the scores {list(full)}")


def _additive(b: Builder, mask: fx.Node, scores: tuple[int, int]) -> str:
    """A mask as what is added to the scores: a boolean one is True where attention is allowed."""
    boolean, shape = value(mask).dtype not in FLOATS, tuple(value(mask).shape)
    four = (*(1,) * (4 - len(shape)), *shape)
    whole = (*four[:2], *scores)
    if b.is_known(mask):
        known = b.places[mask]
        if boolean:
            zero, far = b.at_setup("aten.full.default", (1,), 0.0), b.at_setup("aten.full.default", (1,), _MASKED)
            known = b.at_setup("aten.where.self", known, zero, far)
        return b.device_constant(known if shape == whole else b.at_setup("aten.expand.default", known, whole))
    name = b.tensor(mask)
    if boolean:
        name = b.op("ttnn.where", name, role=Role.ADDITIVE_MASK, true_value=0.0, false_value=_MASKED)
    name = name if shape == four else b.op("ttnn.reshape", name, shape=four)
    # TT-NN broadcasts a mask over batch and heads, but not over rows.
    return name if four == whole else b.op("ttnn.expand", name, shape=whole)


def _attending(b: Builder, mask: fx.Node | None) -> str | None:
    """Which queries attend to any key at all, as 1 and 0; None where all do. PyTorch gives the others zeros."""
    if mask is None or not b.any_arguments:
        return None
    if b.is_known(mask):
        return _attending_known(b, mask)
    return b.once(mask.name, "attending", lambda: _attending_found(b, mask))


def _attending_known(b: Builder, mask: fx.Node) -> str | None:
    rows = b.at_setup("aten.amax.default", b.places[mask], (-1,), True)
    if value(mask).dtype in FLOATS:
        rows = b.at_setup("aten.ne.Scalar", rows, -math.inf)
    found = b.setup_data(rows.name)
    if found is not None and bool(found.all()):
        return None
    return b.device_constant(b.at_setup("aten.reshape.default", rows, _one_key(mask)))


def _attending_found(b: Builder, mask: fx.Node) -> str:
    rows = b.op("ttnn.max", b.tensor(mask), dim=value(mask).ndim - 1, keepdim=True)
    if value(mask).dtype in FLOATS:
        rows = b.op("ttnn.ne", rows, other=-math.inf)
    return rows if value(mask).ndim == 4 else b.op("ttnn.reshape", rows, shape=_one_key(mask))


def _one_key(mask: fx.Node) -> tuple[int, ...]:
    """A mask's shape in four dimensions, for one key."""
    shape = tuple(value(mask).shape)
    return (*(1,) * (4 - len(shape)), *shape[:-1], 1)


@rule("aten.scaled_dot_product_attention.default", guard=_attention)
def attention(b: Builder, node: fx.Node) -> str:
    named = _arguments(node)
    query, key, values = (b.tensor(named[name]) for name in ("query", "key", "value"))
    width = value(named["query"]).shape[-1]
    scale = named.get("scale")
    scale = 1 / math.sqrt(width) if scale is None else float(scale)
    scores = (b.spec(query).shape[2], b.spec(key).shape[2])
    mask = _additive(b, named["attn_mask"], scores) if named.get("attn_mask") is not None else None
    causal = bool(named.get("is_causal", False))
    as_many = scores[0] == scores[1]
    # TT-NN 0.81.1 refuses heads of 48, as some models have, and causal attention over more keys than queries.
    if width % TILE_SIZE == 0 and (as_many or not causal):
        attended = b.op(
            "ttnn.transformer.scaled_dot_product_attention",
            query,
            key,
            values,
            keywords={"attn_mask": mask},
            is_causal=causal,
            scale=scale,
        )
    else:
        attended = _written_out(b, query, key, values, mask, scale, causal)
    attending = _attending(b, named.get("attn_mask"))
    return attended if attending is None else b.op("ttnn.where", attending, attended, false_value=0.0)


@rule("aten._scaled_dot_product_flash_attention_for_cpu.default", guard=all_of(only_first_result, _attention))
def flash_attention(b: Builder, node: fx.Node) -> tuple[str, ...]:
    return (attention(b, node),)


def _written_out(b: Builder, query: str, key: str, values: str, mask: str | None, scale: float, causal: bool) -> str:
    """Attention in four steps, for heads whose width fills no tile."""
    scores = b.op("ttnn.matmul", query, key, transpose_b=True)
    scores = b.op("ttnn.multiply", scores, other=scale)
    if causal:
        rows, columns = b.spec(scores).shape[-2:]
        ones = b.at_setup("aten.full.default", (1, 1, rows, columns), 1.0)
        # PyTorch aligns a causal mask to the first query and the first key, also where there are more keys than
        # queries.
        above = b.at_setup("aten.mul.Tensor", b.at_setup("aten.triu.default", ones, 1), _MASKED)
        mask = b.device_constant(above)
    if mask is not None:
        scores = b.op("ttnn.add", scores, mask)
    return b.op("ttnn.matmul", b.op("ttnn.softmax", scores, dim=-1), values)
