"""Operations that write their operands in place."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ttscribe.devices.emulator.tensors import Call, DeviceTensor, EmulationError, settled


def _write_rows(call: Call, cache: DeviceTensor, new: DeviceTensor) -> None:
    """Put each user's new row of every head where its position says."""
    positions = call.keywords["update_idxs_tensor"].data.tolist()
    room = cache.data.shape[2]
    rows = call.rounded(new.data, cache.spec.dtype)
    for user, position in enumerate(positions):
        if not 0 <= position < room:
            raise EmulationError(f"position {position} is outside a cache of {room}")
        cache.data[user, :, position] = rows[0, user]


def _paged_update_cache(call: Call) -> tuple[Tensor, ...]:
    cache, new = call.operands
    _write_rows(call, cache, new)
    return ()


def _paged_fused_update_cache(call: Call) -> tuple[Tensor, ...]:
    keys, new_keys, values, new_values = call.operands
    _write_rows(call, keys, new_keys)
    _write_rows(call, values, new_values)
    return ()


def _fill_cache(call: Call) -> tuple[Tensor, ...]:
    cache, new = call.data
    cache[call.attribute("batch_idx"), :, : new.shape[2]] = new[0]
    return ()


def _copy(call: Call) -> tuple[Tensor, ...]:
    source, destination = call.operands
    destination.data.copy_(settled(source.data, destination.spec, exact=call.exact))
    return ()


def _plus_one(call: Call) -> tuple[Tensor, ...]:
    (x,) = call.data
    x += 1
    return ()


def _nothing(_call: Call) -> tuple[Tensor, ...]:
    """The device forgets values after their last use by itself."""
    return ()


IN_PLACE: dict[str, Callable[[Call], tuple[Tensor, ...]]] = {
    "ttnn.experimental.paged_update_cache": _paged_update_cache,
    "ttnn.experimental.paged_fused_update_cache": _paged_fused_update_cache,
    "ttnn.fill_cache": _fill_cache,
    "ttnn.copy": _copy,
    "ttnn.plus_one": _plus_one,
    "ttnn.deallocate": _nothing,
}
