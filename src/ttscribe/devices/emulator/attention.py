"""Attention: heads apart, scaled dot products, heads together."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.program import DType
from ttscribe.devices.emulator.products import product
from ttscribe.devices.emulator.tensors import Call, EmulationError

# Scores that are at hand at a time: small enough to stay in a cache through softmax and both products.
_SCORES_AT_ONCE = 1 << 21
_ROWS_OF_A_TILE = 32


def _create_heads(call: Call) -> tuple[Tensor, ...]:
    heads = call.attribute("num_heads")
    kv_heads = call.attribute("num_kv_heads", heads)
    if len(call.data) == 2:
        q = _split(call.data[0], heads)
        k, v = torch.split(_split(call.data[1], 2 * kv_heads), kv_heads, 1)
    else:
        q, k, v = torch.split(_split(call.data[0], heads + 2 * kv_heads), [heads, kv_heads, kv_heads], 1)
    return q, k.mT if call.attribute("transpose_k_heads", True) else k, v


def _split(x: Tensor, heads: int) -> Tensor:
    """[batch, 1, length, heads x size] as [batch, heads, length, size]."""
    batch, _, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(1, 2)


def _create_heads_decode(call: Call) -> tuple[Tensor, ...]:
    (x,) = call.data
    heads = call.attribute("num_heads")
    kv_heads = call.attribute("num_kv_heads", heads)
    _, _, users, width = x.shape
    split = x.reshape(1, users, heads + 2 * kv_heads, width // (heads + 2 * kv_heads))
    return torch.split(split, [heads, kv_heads, kv_heads], 2)


def _concat_heads(call: Call) -> Tensor:
    (x,) = call.data
    return x.transpose(1, 2).flatten(2).unsqueeze(1)


def _concat_heads_decode(call: Call) -> Tensor:
    """TT-NN gives a whole tile of rows; those beyond the users are zero here."""
    (x,) = call.data
    rows = x.flatten(2)
    return F.pad(rows, (0, 0, 0, _ROWS_OF_A_TILE - rows.shape[1])).unsqueeze(0)


def _attention(call: Call) -> Tensor:
    q, k, v = call.data
    mask = call.keyword("attn_mask")
    causal = call.attribute("is_causal", True)
    if causal and not call.exact:
        mask = torch.full(q.shape[2:3] * 2, float("-inf")).triu(1)
    return _attend(call, q, k, v, mask, causal=causal)


def _attention_decode(call: Call) -> Tensor:
    """Each user's one query attends to keys up to and including its position."""
    q, k, v = call.data
    positions = call.keywords["cur_pos_tensor"].data.flatten()
    used = int(positions.max()) + 1
    if not 0 < used <= k.shape[2]:
        raise EmulationError(f"position {used - 1} is outside a cache of {k.shape[2]}")
    k, v = k[:, :, :used], v[:, :, :used]
    beyond = torch.arange(used) > positions[:, None]
    mask = torch.zeros(beyond.shape).masked_fill(beyond, float("-inf"))[:, None, None]
    return _attend(call, q[0].unsqueeze(2), k, v, mask, causal=False).squeeze(2).unsqueeze(0)


def _attend(call: Call, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
    scale = call.attribute("scale", q.shape[-1] ** -0.5)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    if call.exact:
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale)
    fidelity = call.fidelity("HiFi2")
    rows = max(1, _SCORES_AT_ONCE // (q.shape[0] * q.shape[1] * k.shape[2]))
    result = torch.empty_like(q)
    for start in range(0, q.shape[2], rows):
        piece = slice(start, start + rows)
        masked = mask if mask is None or mask.shape[-2] == 1 else mask[..., piece, :]
        result[:, :, piece] = _attend_rows(call, q[:, :, piece], k, v, masked, scale, fidelity)
    return result


def _attend_rows(
    call: Call, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, fidelity: str
) -> Tensor:
    """Softmax is float32 inside; the probabilities are stored as bfloat16 before the second product."""
    scores = product(torch.matmul, q, k.mT, fidelity).mul_(scale)
    if mask is not None:
        scores += mask
    return product(torch.matmul, call.rounded(scores.softmax(-1), DType.BFLOAT16), v, fidelity)


# These move what their inputs hold.
HEADS: dict[str, Callable[[Call], Tensor | tuple[Tensor, ...]]] = {
    "ttnn.experimental.nlp_create_qkv_heads": _create_heads,
    "ttnn.experimental.nlp_create_qkv_heads_decode": _create_heads_decode,
    "ttnn.experimental.nlp_concat_heads": _concat_heads,
    "ttnn.experimental.nlp_concat_heads_decode": _concat_heads_decode,
}

ATTENTION: dict[str, Callable[[Call], Tensor]] = {
    "ttnn.transformer.scaled_dot_product_attention": _attention,
    "ttnn.transformer.scaled_dot_product_attention_decode": _attention_decode,
}
