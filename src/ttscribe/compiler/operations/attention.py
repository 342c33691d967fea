"""Attention: splitting into heads, scaled dot products, joining heads.

Shapes: B batch, T queries, S keys, H heads, K heads of keys, E a head's width, U users of one decode step.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations import kernels
from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.matmul import multiplied
from ttscribe.compiler.operations.operation import (
    BLOCK_DTYPES,
    Emulate,
    Family,
    InferSpecs,
    Kernel,
    Operation,
    Specs,
    broadcast,
    keyword_spec,
    require,
    require_rank,
    require_tile,
    result,
)
from ttscribe.compiler.program import DRAM, TILE_SIZE, DType, Layout, Memory, Op, Sharding, TensorSpec
from ttscribe.errors import EmulationError

# Not float32: TT-NN 0.81.1 refuses it for queries, keys, values and masks.
_ATTENTION_DTYPES = (DType.BFLOAT16, *BLOCK_DTYPES)
# A step's users are the rows of one tile: TT-NN 0.81.1 refuses 33.
_MOST_USERS = 32
# Scores that the emulator has at hand at a time: few enough to stay in a cache through softmax and both products.
_SCORES_AT_ONCE = 1 << 21


def _head_size(op: Op, width: int, heads: int) -> int:
    size = width // heads
    fits = size * heads == width and size % TILE_SIZE == 0
    require(fits, f"{op.target} cannot cut {width} columns into {heads} heads of whole tiles")
    return size


def _head_counts(op: Op) -> tuple[int, int]:
    heads = op.attribute("num_heads")
    return heads, op.attribute("num_kv_heads", heads)


def _create_heads(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x = specs[0]
    heads, kv_heads = _head_counts(op)
    require_tile(op, *specs)
    for spec in specs:
        require_rank(op, spec, 4)
        require(spec.shape[1] == 1, f"{op.target} takes tensors of shape [batch, 1, length, width], not {spec.shape}")
    batch, _, length, width = x.shape
    if len(specs) == 2:
        size = _head_size(op, width, heads)
        wanted = (batch, 1, specs[1].shape[2], 2 * kv_heads * size)
        require(specs[1].shape == wanted, f"{op.target} takes keys and values of shape {wanted}, not {specs[1].shape}")
    else:
        size = _head_size(op, width, heads + 2 * kv_heads)
    kv_length = specs[-1].shape[2]
    value = (batch, kv_heads, kv_length, size)
    # TT-NN turns keys round by default, as a plain product with the queries wants them; its attention does not.
    key = (batch, kv_heads, size, kv_length) if op.attribute("transpose_k_heads", True) else value
    return tuple(result(op, x, shape) for shape in ((batch, heads, length, size), key, value))


def _create_heads_decode(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    require_rank(op, x, 4)
    users, width = x.shape[2:]
    fits = x.shape[:2] == (1, 1) and users <= _MOST_USERS
    require(fits, f"{op.target} takes [1, 1, users up to {_MOST_USERS}, width], not {x.shape}")
    heads, kv_heads = _head_counts(op)
    size = _head_size(op, width, heads + 2 * kv_heads)
    asked = op.attribute("memory_config")
    # A core for each user, its heads padded to 32 rows. TT-NN gives this also where the call asks for DRAM, or for L1
    # without shards.
    memory = Memory("l1", Sharding("height", (_MOST_USERS, size), users))
    if asked is not None and asked.sharding is not None:
        memory = asked
    return tuple(replace(x, shape=(1, users, count, size), memory=memory) for count in (heads, kv_heads, kv_heads))


def _concat_heads(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    require_rank(op, x, 4)
    batch, heads, length, size = x.shape
    return (result(op, x, (batch, 1, length, heads * size)),)


def _concat_heads_decode(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    require_tile(op, x)
    require_rank(op, x, 4)
    require(x.memory.sharding is not None, f"{op.target} takes a tensor that is height-sharded in L1")
    heads, size = op.attribute("num_heads"), x.shape[3]
    require(x.shape[2] == heads, f"{op.target} takes {heads} heads, not {x.shape[2]}")
    memory = Memory("l1", Sharding("width", (_MOST_USERS, size), heads))
    return (replace(x, shape=(1, 1, _MOST_USERS, heads * size), memory=memory),)


def _require_attention_inputs(op: Op, q: TensorSpec, k: TensorSpec, v: TensorSpec) -> None:
    require_tile(op, q, k, v)
    for spec in (q, k, v):
        require_rank(op, spec, 4)
        require(spec.dtype in _ATTENTION_DTYPES, f"{op.target} does not take {spec.dtype.value}")
    require(k.shape == v.shape, f"{op.target} takes keys and values of one shape, not {k.shape} and {v.shape}")
    require(k.shape[3] == q.shape[3], f"{op.target} takes heads of one size, not {q.shape[3]} and {k.shape[3]}")


def _attention(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    q, k, v = specs[:3]
    _require_attention_inputs(op, q, k, v)
    batch, heads, queries, size = q.shape
    require(k.shape[0] == batch, f"{op.target} takes queries and keys of one batch, not {batch} and {k.shape[0]}")
    require(heads % k.shape[1] == 0, f"{op.target} cannot share {k.shape[1]} heads of keys among {heads}")
    require(size % TILE_SIZE == 0, f"{op.target} takes heads of whole tiles, not of {size}")
    # Causal unless told otherwise, where PyTorch's attention is the contrary.
    mask, causal = keyword_spec(op, specs, "attn_mask"), op.attribute("is_causal", True)
    require(mask is None or not causal, f"{op.target} takes a mask or is causal, not both")
    require(not causal or queries == k.shape[2], f"{op.target} is causal only for as many keys as queries")
    if mask is not None:
        _require_mask(op, mask, (batch, heads, queries, k.shape[2]))
    return (result(op, q, q.shape, memory=DRAM),)


def _require_mask(op: Op, mask: TensorSpec, scores: tuple[int, ...]) -> None:
    require_tile(op, mask)
    require_rank(op, mask, 4)
    require(mask.dtype in _ATTENTION_DTYPES, f"{op.target} does not take a mask of {mask.dtype.value}")
    # Batch and heads may be one and broadcast, but TT-NN 0.81.1 refuses a single row for all queries.
    fits = mask.shape[2:] == scores[2:] and broadcast(op, mask.shape, scores) == scores
    require(fits, f"{op.target} takes a mask for scores of shape {scores}, not {mask.shape}")


def _attention_device_operations(op: Op, _inputs: Specs, _outputs: Specs) -> int:
    """The kernel scales scores and mask together: TT-NN divides the mask by the scale first, unless that is one."""
    return 1 + (op.keyword("attn_mask") is not None and op.attribute("scale") != 1)


def _keys(_op: Op, inputs: Specs, _outputs: Specs) -> int:
    """Terms of the second product, which gives as many elements as there are in the result; the first does as much."""
    return int(inputs[1].shape[2])


def _attention_decode(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    q, k, v = specs[:3]
    _require_attention_inputs(op, q, k, v)
    position = keyword_spec(op, specs, "cur_pos_tensor")
    require(position is not None, f"{op.target} takes cur_pos_tensor")
    row = position.layout is Layout.ROW_MAJOR and not position.dtype.floating
    require(row, f"{op.target} takes positions as integers in row-major layout")
    # Decode has users before heads, and each user's heads as the rows of a tile: [1, users, heads, size].
    one, users, heads, _ = q.shape
    require(
        one == 1 and users == k.shape[0], f"{op.target} takes queries [1, {k.shape[0]}, heads, size], not {q.shape}"
    )
    require(position.shape[-1] == users, f"{op.target} takes {users} positions, not {position.shape}")
    require(heads % k.shape[1] == 0, f"{op.target} cannot share {k.shape[1]} heads of keys among {heads}")
    require(k.shape[2] % TILE_SIZE == 0, f"{op.target} takes a cache of whole tiles, not of {k.shape[2]} positions")
    sharded = q.memory.sharding is not None
    require(sharded or q.memory == DRAM, f"{op.target} takes queries in DRAM unless they are sharded")
    require(op.attribute("is_causal", True), f"{op.target} is causal here: it attends to keys up to the position")
    return (result(op, q, q.shape, memory=DRAM),)


def _split(x: Tensor, heads: int) -> Tensor:
    """[B, 1, T, H E] as [B, H, T, E]."""
    batch, _, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(1, 2)


def _emulate_create_heads(call: Call) -> tuple[Tensor, ...]:
    heads, kv_heads = _head_counts(call.op)
    if len(call.data) == 2:
        q = _split(call.data[0], heads)
        k, v = torch.split(_split(call.data[1], 2 * kv_heads), kv_heads, 1)
    else:
        # All heads of the queries, then all of the keys, then all of the values; not query, key and value of one head
        # after another, as some models store them.
        q, k, v = torch.split(_split(call.data[0], heads + 2 * kv_heads), [heads, kv_heads, kv_heads], 1)
    return q, k.mT if call.attribute("transpose_k_heads", True) else k, v


def _emulate_create_heads_decode(call: Call) -> tuple[Tensor, ...]:
    (x,) = call.data
    heads, kv_heads = _head_counts(call.op)
    _, _, users, width = x.shape
    split = x.reshape(1, users, heads + 2 * kv_heads, width // (heads + 2 * kv_heads))
    return torch.split(split, [heads, kv_heads, kv_heads], 2)


def _emulate_concat_heads(call: Call) -> Tensor:
    (x,) = call.data
    return x.transpose(1, 2).flatten(2).unsqueeze(1)


def _emulate_concat_heads_decode(call: Call) -> Tensor:
    """TT-NN gives a whole tile of rows; those beyond the users are zero here."""
    (x,) = call.data
    rows = x.flatten(2)
    return F.pad(rows, (0, 0, 0, _MOST_USERS - rows.shape[1])).unsqueeze(0)


def _emulate_attention(call: Call) -> Tensor:
    q, k, v = call.data
    mask = call.keyword("attn_mask")
    causal = call.attribute("is_causal", True)
    if causal and not call.exact:
        mask = torch.full(q.shape[2:3] * 2, float("-inf")).triu(1)
    return _attend(call, q, k, v, mask, causal=causal)


def _emulate_attention_decode(call: Call) -> Tensor:
    """Each user's one query attends to keys up to and including its position."""
    q, k, v = call.data
    positions = call.keywords["cur_pos_tensor"].data.flatten()
    used = int(positions.max()) + 1
    if not 0 < used <= k.shape[2]:
        raise EmulationError(f"position {used - 1} is outside a cache of {k.shape[2]}")
    # The rest of the cache may hold anything: the kernel reads whole chunks, and masks it.
    if call.as_kernels:
        chunk = kernels.chunk_of(call.attribute("program_config"))
        used = min(k.shape[2], -(-used // chunk) * chunk)
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
    one_query = call.op.target.endswith("_decode")
    fidelity = call.fidelity("HiFi2")
    rows = max(1, _SCORES_AT_ONCE // (q.shape[0] * q.shape[1] * k.shape[2]))
    attended = torch.empty_like(q)
    for start in range(0, q.shape[2], rows):
        piece = slice(start, start + rows)
        masked = mask if mask is None or mask.shape[-2] == 1 else mask[..., piece, :]
        if call.as_kernels:
            attended[:, :, piece] = kernels.attention(call, q[:, :, piece], k, v, masked, scale, one_query=one_query)
        else:
            attended[:, :, piece] = _attend_rows(call, q[:, :, piece], k, v, masked, scale, fidelity)
    return attended


def _attend_rows(
    call: Call, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, fidelity: str
) -> Tensor:
    """Softmax is float32 inside; the probabilities are stored as bfloat16 before the second product.

    A card goes through the keys chunk by chunk, with an exponential that is itself approximate: that is not modelled.
    """
    scores = multiplied(torch.matmul, q, k.mT, fidelity).mul_(scale)
    if mask is not None:
        scores += mask
    return multiplied(torch.matmul, call.rounded(scores.softmax(-1), DType.BFLOAT16), v, fidelity)


def _heads_operation(
    name: str,
    infer_specs: InferSpecs,
    emulate: Emulate,
    attributes: tuple[str, ...],
    *,
    most_operands: int = 1,
    into: str | None = None,
    into_list: int = 0,
) -> Operation:
    return Operation(
        f"ttnn.experimental.{name}",
        Family.ATTENTION,
        infer_specs,
        (1, most_operands),
        attributes=attributes,
        into=into,
        into_list=into_list,
        moves_values=True,
        emulate=emulate,
    )


_CONFIGURED = ("is_causal", "scale", "program_config", "compute_kernel_config", "memory_config")
_COUNTS = ("num_heads", "num_kv_heads", "memory_config")

ATTENTION = (
    _heads_operation(
        "nlp_create_qkv_heads",
        _create_heads,
        _emulate_create_heads,
        (*_COUNTS, "transpose_k_heads"),
        most_operands=2,
        into="output_tensors",
        # Queries, keys, values: fewer are ignored.
        into_list=3,
    ),
    _heads_operation("nlp_create_qkv_heads_decode", _create_heads_decode, _emulate_create_heads_decode, _COUNTS),
    _heads_operation("nlp_concat_heads", _concat_heads, _emulate_concat_heads, ("memory_config",)),
    _heads_operation("nlp_concat_heads_decode", _concat_heads_decode, _emulate_concat_heads_decode, ("num_heads",)),
    Operation(
        "ttnn.transformer.scaled_dot_product_attention",
        Family.ATTENTION,
        _attention,
        (3, 3),
        keywords=("attn_mask",),
        attributes=_CONFIGURED,
        terms=_keys,
        products=2,
        device_operations=_attention_device_operations,
        kernel=Kernel(),
        emulate=_emulate_attention,
    ),
    Operation(
        "ttnn.transformer.scaled_dot_product_attention_decode",
        Family.ATTENTION,
        _attention_decode,
        (3, 3),
        keywords=("cur_pos_tensor",),
        attributes=_CONFIGURED,
        terms=_keys,
        products=2,
        kernel=Kernel(),
        emulate=_emulate_attention_decode,
    ),
)
