"""What crosses between host and device, and what frees memory there."""

from __future__ import annotations

from torch import Tensor

from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.operation import Family, Operation, Specs, none, require, result
from ttscribe.compiler.program import DType, HostSpec, Op, TensorSpec

MOVES_IN, MOVES_OUT, FREES = "ttnn.from_torch", "ttnn.to_torch", "ttnn.deallocate"

# What torch calls each device dtype on the host, when the call does not say.
_HOST_DTYPES = {
    DType.BFLOAT16: "bfloat16",
    DType.BFLOAT8_B: "float32",
    DType.BFLOAT4_B: "float32",
    DType.FLOAT32: "float32",
    DType.INT32: "int32",
    DType.UINT32: "uint32",
}


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
    return (HostSpec(x.shape, op.attribute("dtype") or _HOST_DTYPES[x.dtype]),)


def _deallocate(_op: Op, _specs: Specs) -> tuple[TensorSpec, ...]:
    return ()


def _emulate_deallocate(_call: Call) -> tuple[Tensor, ...]:
    """The emulated card forgets values after their last use by itself."""
    return ()


# What moves in or out is emulated by the device itself: here a tensor is on the host.
TRANSFER = (
    Operation(
        MOVES_IN, Family.TRANSFER, _from_torch, attributes=("dtype", "layout", "memory_config"), device_operations=none
    ),
    Operation(MOVES_OUT, Family.TRANSFER, _to_torch, attributes=("dtype",), device_operations=none),
    Operation(FREES, Family.TRANSFER, _deallocate, device_operations=none, emulate=_emulate_deallocate),
)
