"""Attention: splitting into heads, scaled dot products, joining heads."""

from dataclasses import replace

from ttscribe.compiler.operations.operation import (
    BLOCK_DTYPES,
    Operation,
    Specs,
    broadcast,
    elements,
    keyword_spec,
    require,
    require_rank,
    require_tile,
    result,
)
from ttscribe.compiler.program import DRAM, TILE_SIZE, DType, Layout, Memory, Op, Sharding, TensorSpec

_ATTENTION_DTYPES = (DType.BFLOAT16, *BLOCK_DTYPES)
_MOST_USERS = 32


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
    fits = mask.shape[2:] == scores[2:] and broadcast(op, mask.shape, scores) == scores
    require(fits, f"{op.target} takes a mask for scores of shape {scores}, not {mask.shape}")


def _attention_device_operations(op: Op, _inputs: Specs, _outputs: Specs) -> int:
    """A mask is scaled first, unless the scale is one."""
    return 1 + (op.keyword("attn_mask") is not None and op.attribute("scale") != 1)


def _attention_flops(_op: Op, inputs: Specs, outputs: Specs) -> int:
    """Both products, over all keys."""
    return 4 * elements(outputs[0]) * int(inputs[1].shape[2])


def _attention_decode(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    q, k, v = specs[:3]
    _require_attention_inputs(op, q, k, v)
    position = keyword_spec(op, specs, "cur_pos_tensor")
    require(position is not None, f"{op.target} takes cur_pos_tensor")
    row = position.layout is Layout.ROW_MAJOR and not position.dtype.floating
    require(row, f"{op.target} takes positions as integers in row-major layout")
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


_PLACED = ("program_config", "compute_kernel_config", "memory_config")

ATTENTION = (
    Operation(
        "ttnn.experimental.nlp_create_qkv_heads",
        _create_heads,
        (1, 2),
        attributes=("num_heads", "num_kv_heads", "transpose_k_heads", "memory_config"),
        into="output_tensors",
    ),
    Operation(
        "ttnn.experimental.nlp_create_qkv_heads_decode",
        _create_heads_decode,
        attributes=("num_heads", "num_kv_heads", "memory_config"),
    ),
    Operation("ttnn.experimental.nlp_concat_heads", _concat_heads, attributes=("memory_config",)),
    Operation(
        "ttnn.experimental.nlp_concat_heads_decode",
        _concat_heads_decode,
        attributes=("num_heads",),
    ),
    Operation(
        "ttnn.transformer.scaled_dot_product_attention",
        _attention,
        (3, 3),
        keywords=("attn_mask",),
        attributes=("is_causal", "scale", *_PLACED),
        flops=_attention_flops,
        device_operations=_attention_device_operations,
    ),
    Operation(
        "ttnn.transformer.scaled_dot_product_attention_decode",
        _attention_decode,
        (3, 3),
        keywords=("cur_pos_tensor",),
        attributes=("is_causal", "scale", *_PLACED),
        flops=_attention_flops,
    ),
)
