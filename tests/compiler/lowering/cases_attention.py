"""Calls that rules for attention must lower."""

from compiler.lowering.cases import case
from compiler.lowering.one_node import call


def _heads(d, shared=1):
    """Query, key and value; ``shared`` query heads to a key head."""
    dtype, batch, heads, width = d.float_dtype(), d.whole(1, 2), d.whole(1, 3), d.of(5, 32, 33, 64)
    rows = d.of(1, 3, 32, 33)
    query = d.floats(batch, heads * shared, rows, width if shared == 1 else 32, dtype=dtype)
    kept = (batch, heads, d.of(rows, 1, 5, 50), query.shape[3])
    return query, d.floats(*kept, dtype=dtype), d.floats(*kept, dtype=dtype)


@case("aten.scaled_dot_product_attention.default")
def attention(d):
    shared = d.of(1, 1, 2)
    query, key, values = _heads(d, shared)
    more = {**d.of({}, {"scale": 0.25}, {"scale": 1.0}), **({} if shared == 1 else {"enable_gqa": True})}
    if shared == 1 and d.of(True, False):
        return call(query, key, values, None, 0.0, True, **more)
    shape = d.narrowed((*query.shape[:3], key.shape[2]), low=2)
    allowed = d.booleans(*shape)
    allowed[..., 0] = True
    mask = d.of(None, allowed, d.floats(*shape, dtype=query.dtype))
    return call(query, key, values, *d.of((mask,), (mask, 0.0, False)), **more)


@case("aten._scaled_dot_product_flash_attention_for_cpu.default")
def flash_attention(d):
    return call(*_heads(d), 0.0, d.of(True, False), outputs=(0,))
