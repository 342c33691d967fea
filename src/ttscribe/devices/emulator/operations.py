"""One torch function for each TT-NN operation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import DType, TensorSpec
from ttscribe.devices.emulator.attention import ATTENTION, HEADS
from ttscribe.devices.emulator.movement import MOVES, REDUCTIONS
from ttscribe.devices.emulator.pointwise import POINTWISE
from ttscribe.devices.emulator.products import PRODUCTS
from ttscribe.devices.emulator.state import IN_PLACE
from ttscribe.devices.emulator.tensors import Call, DeviceTensor, settled

# All but ttnn.from_torch and ttnn.to_torch, which the device does.
EMULATED: dict[str, Callable[[Call], Tensor | tuple[Tensor, ...]]] = {
    **PRODUCTS,
    **ATTENTION,
    **HEADS,
    **POINTWISE,
    **MOVES,
    **REDUCTIONS,
    **IN_PLACE,
}

_KEEPS_VALUES = MOVES.keys() | HEADS.keys()
_ELEMENTWISE_DTYPES = (DType.BFLOAT16, DType.FLOAT32, DType.INT32, DType.UINT32)


def emulate(call: Call, specs: tuple[TensorSpec, ...], *, shares_memory: bool) -> tuple[DeviceTensor, ...]:
    """Run one call and give tensors of ``specs``.

    They own their memory, so that no later write in place changes them, unless ``shares_memory``: a reshape that is
    free on the card is another view of the same bytes there too.
    """
    given = EMULATED[call.op.target](call)
    results = (given,) if isinstance(given, Tensor) else given
    into = OPERATIONS[call.op.target].into
    if into is not None and (destination := call.keywords.get(into)) is not None:
        destination.data.copy_(settled(results[0], destination.spec, exact=call.exact))
        return ()
    return tuple(
        _result(call, data, spec, shares_memory=shares_memory) for data, spec in zip(results, specs, strict=True)
    )


def _result(call: Call, data: Tensor, spec: TensorSpec, *, shares_memory: bool) -> DeviceTensor:
    held = {operand.spec.dtype for operand in call.operands if operand.spec.dtype.floating == spec.dtype.floating}
    kept = call.op.target in _KEEPS_VALUES and held == {spec.dtype} and spec.dtype in _ELEMENTWISE_DTYPES
    data = settled(data, spec, exact=call.exact or kept)
    if shares_memory:
        return DeviceTensor(spec, data)
    data = data.contiguous()
    start = data.untyped_storage().data_ptr()
    shared = any(operand.data.untyped_storage().data_ptr() == start for operand in call.operands)
    return DeviceTensor(spec, data.clone(memory_format=torch.contiguous_format) if shared else data)
