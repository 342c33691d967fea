"""Tensors written in place: caches, copies, counters."""

from __future__ import annotations

from torch import Tensor

from ttscribe.compiler.operations.emulation import Call, DeviceTensor, settled
from ttscribe.compiler.operations.operation import (
    Family,
    InferSpecs,
    Operation,
    Specs,
    keyword_spec,
    per_input_element,
    require,
    require_rank,
    require_tile,
)
from ttscribe.compiler.program import DType, Layout, Op, TensorSpec
from ttscribe.errors import EmulationError


def _require_cache(op: Op, cache: TensorSpec, new: TensorSpec) -> None:
    require_tile(op, cache, new)
    require_rank(op, cache, 4)
    require_rank(op, new, 4)
    require(cache.shape[3] == new.shape[3], f"{op.target} takes heads of {cache.shape[3]}, not {new.shape[3]}")


def _require_update(op: Op, cache: TensorSpec, new: TensorSpec) -> None:
    _require_cache(op, cache, new)
    # A core updates the cache of the user whose row is in its own L1: rows interleaved over banks are no core's.
    require(new.memory.sharding is not None, f"{op.target} takes a new row that is height-sharded in L1")
    wanted = (1, cache.shape[0], cache.shape[1], cache.shape[3])
    require(new.shape == wanted, f"{op.target} takes a new row of shape {wanted}, not {new.shape}")


def _require_positions(op: Op, specs: Specs, users: int) -> None:
    positions = keyword_spec(op, specs, "update_idxs_tensor")
    require(positions is not None, f"{op.target} takes update_idxs_tensor")
    # TT-NN 0.81.1 refuses uint32 here, and int32 in a look-up: a position that serves for both is cast in every step.
    fits = (positions.shape, positions.dtype, positions.layout) == ((users,), DType.INT32, Layout.ROW_MAJOR)
    require(fits, f"{op.target} takes positions of shape ({users},), int32, row-major")


def _paged_update_cache(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    cache, new = specs[:2]
    _require_update(op, cache, new)
    _require_positions(op, specs, cache.shape[0])
    return ()


def _paged_fused_update_cache(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    # TT-NN also wants the two new rows on cores that do not overlap, which a spec does not tell.
    keys, new_keys, values, new_values = specs[:4]
    _require_update(op, keys, new_keys)
    _require_update(op, values, new_values)
    _require_positions(op, specs, keys.shape[0])
    return ()


def _fill_cache(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    cache, new = specs
    _require_cache(op, cache, new)
    # Unlike paged_update_cache, which converts bfloat16 rows for a bfloat8_b cache.
    require(cache.dtype is new.dtype, f"{op.target} takes new rows of {cache.dtype.value}, not {new.dtype.value}")
    fits = new.shape[:2] == (1, cache.shape[1]) and new.shape[2] <= cache.shape[2]
    require(fits, f"{op.target} cannot put {new.shape} into a cache of {cache.shape}")
    index = op.attribute("batch_idx")
    require(0 <= index < cache.shape[0], f"{op.target} has no batch index {index} among {cache.shape[0]}")
    return ()


def _copy(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    source, destination = specs
    same = (source.shape, source.layout) == (destination.shape, destination.layout)
    require(same, f"{op.target} takes tensors of one shape and layout, not {source.shape} and {destination.shape}")
    converts = source.layout is Layout.TILE or source.dtype is destination.dtype
    require(converts, f"{op.target} converts {source.dtype.value} in tile layout only")
    return ()


def _plus_one(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (x,) = specs
    whole = not x.dtype.floating and x.layout is Layout.ROW_MAJOR
    require(whole, f"{op.target} takes integers in row-major layout")
    return ()


def _write_rows(call: Call, cache: DeviceTensor, new: DeviceTensor) -> None:
    """Put each user's new row of every head where its position says."""
    positions = call.keywords["update_idxs_tensor"].data.tolist()
    room = cache.data.shape[2]
    # Blocks run along a head's width, so that rounding a row by itself is what the cache's tiles would hold.
    rows = call.rounded(new.data, cache.spec.dtype)
    for user, position in enumerate(positions):
        if not 0 <= position < room:
            raise EmulationError(f"position {position} is outside a cache of {room}")
        cache.data[user, :, position] = rows[0, user]


def _emulate_update(call: Call) -> tuple[Tensor, ...]:
    """Caches and new rows in turn: one pair, or keys' and values'."""
    for cache, new in zip(call.operands[::2], call.operands[1::2], strict=True):
        _write_rows(call, cache, new)
    return ()


def _emulate_fill_cache(call: Call) -> tuple[Tensor, ...]:
    cache, new = call.data
    cache[call.attribute("batch_idx"), :, : new.shape[2]] = new[0]
    return ()


def _emulate_copy(call: Call) -> tuple[Tensor, ...]:
    source, destination = call.operands
    destination.data.copy_(settled(source.data, destination.spec, exact=call.exact))
    return ()


def _emulate_plus_one(call: Call) -> tuple[Tensor, ...]:
    (x,) = call.data
    x += 1
    return ()


def _update(name: str, infer_specs: InferSpecs, operands: int) -> Operation:
    return Operation(
        f"ttnn.experimental.{name}",
        Family.STATE,
        infer_specs,
        (operands, operands),
        keywords=("update_idxs_tensor",),
        mutates=tuple(range(0, operands, 2)),
        emulate=_emulate_update,
    )


STATE = (
    _update("paged_update_cache", _paged_update_cache, 2),
    _update("paged_fused_update_cache", _paged_fused_update_cache, 4),
    Operation(
        "ttnn.fill_cache",
        Family.STATE,
        _fill_cache,
        (2, 2),
        positional=("batch_idx",),
        mutates=(0,),
        emulate=_emulate_fill_cache,
    ),
    Operation("ttnn.copy", Family.STATE, _copy, (2, 2), mutates=(1,), emulate=_emulate_copy),
    Operation(
        "ttnn.plus_one", Family.STATE, _plus_one, mutates=(0,), flops=per_input_element, emulate=_emulate_plus_one
    ),
)
