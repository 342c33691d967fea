"""Tensors written in place or freed, and what crosses between host and device."""

from ttscribe.compiler.operations.operation import (
    Operation,
    Specs,
    keyword_spec,
    none,
    per_input_element,
    require,
    require_rank,
    require_tile,
    result,
)
from ttscribe.compiler.program import DType, HostSpec, Layout, Op, TensorSpec

# What torch calls each device dtype on the host, when the call does not say.
HOST_DTYPES = {
    DType.BFLOAT16: "bfloat16",
    DType.BFLOAT8_B: "bfloat16",
    DType.BFLOAT4_B: "bfloat16",
    DType.FLOAT32: "float32",
    DType.INT32: "int32",
    DType.UINT32: "uint32",
}


def _require_cache(op: Op, cache: TensorSpec, new: TensorSpec) -> None:
    require_tile(op, cache, new)
    require_rank(op, cache, 4)
    require_rank(op, new, 4)
    require(cache.shape[3] == new.shape[3], f"{op.target} takes heads of {cache.shape[3]}, not {new.shape[3]}")


def _require_update(op: Op, cache: TensorSpec, new: TensorSpec) -> None:
    _require_cache(op, cache, new)
    require(new.memory.sharding is not None, f"{op.target} takes a new row that is height-sharded in L1")
    wanted = (1, cache.shape[0], cache.shape[1], cache.shape[3])
    require(new.shape == wanted, f"{op.target} takes a new row of shape {wanted}, not {new.shape}")


def _require_positions(op: Op, specs: Specs, users: int) -> None:
    positions = keyword_spec(op, specs, "update_idxs_tensor")
    require(positions is not None, f"{op.target} takes update_idxs_tensor")
    fits = (positions.shape, positions.dtype, positions.layout) == ((users,), DType.INT32, Layout.ROW_MAJOR)
    require(fits, f"{op.target} takes positions of shape ({users},), int32, row-major")


def _paged_update_cache(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    cache, new = specs[:2]
    _require_update(op, cache, new)
    _require_positions(op, specs, cache.shape[0])
    return ()


def _paged_fused_update_cache(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    keys, new_keys, values, new_values = specs[:4]
    _require_update(op, keys, new_keys)
    _require_update(op, values, new_values)
    _require_positions(op, specs, keys.shape[0])
    return ()


def _fill_cache(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    cache, new = specs
    _require_cache(op, cache, new)
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


def _deallocate(_op: Op, _specs: Specs) -> tuple[TensorSpec, ...]:
    return ()


def _from_torch(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (host,) = specs
    require(isinstance(host, HostSpec), f"{op.target} takes a value on the host")
    require(host.dtype != "int", f"{op.target} takes a tensor, not a number")
    require(all(isinstance(size, int) for size in host.shape), f"{op.target} takes a tensor of known shape")
    for name in ("dtype", "layout"):
        require(op.attribute(name) is not None, f"{op.target} takes {name}")
    return (result(op, TensorSpec(()), host.shape),)


def _to_torch(op: Op, specs: Specs) -> tuple[HostSpec, ...]:
    (x,) = specs
    require(isinstance(x, TensorSpec), f"{op.target} takes a value on the device")
    return (HostSpec(x.shape, op.attribute("dtype") or HOST_DTYPES[x.dtype]),)


STATE = (
    Operation(
        "ttnn.experimental.paged_update_cache",
        _paged_update_cache,
        (2, 2),
        keywords=("update_idxs_tensor",),
        mutates=(0,),
    ),
    Operation(
        "ttnn.experimental.paged_fused_update_cache",
        _paged_fused_update_cache,
        (4, 4),
        keywords=("update_idxs_tensor",),
        mutates=(0, 2),
    ),
    Operation("ttnn.fill_cache", _fill_cache, (2, 2), positional=("batch_idx",), mutates=(0,)),
    Operation("ttnn.copy", _copy, (2, 2), mutates=(1,)),
    Operation("ttnn.plus_one", _plus_one, flops=per_input_element, mutates=(0,)),
    Operation("ttnn.deallocate", _deallocate, device_operations=none),
    Operation(
        "ttnn.from_torch",
        _from_torch,
        attributes=("dtype", "layout", "memory_config"),
        device_operations=none,
    ),
    Operation("ttnn.to_torch", _to_torch, attributes=("dtype",), device_operations=none),
)
