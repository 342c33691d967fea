"""A program with its weights on the emulated card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler import host
from ttscribe.compiler.memory import last_uses
from ttscribe.compiler.operations import MOVES_IN, MOVES_OUT, OPERATIONS
from ttscribe.compiler.operations.emulation import Call, DeviceTensor, settled
from ttscribe.compiler.program import DType, HostOp, HostSegment, HostSpec, Op, Program, TensorSpec, Value
from ttscribe.errors import EmulationError

# What holds element by element in the emulator's float32 and int64, so that moved values need no rounding again.
_ELEMENTWISE_DTYPES = (DType.BFLOAT16, DType.FLOAT32, DType.INT32, DType.UINT32)


class EmulatedProgram:
    """Call it with the program's inputs, in order; it gives the outputs, in order.

    Host inputs and outputs are torch tensors and numbers, those on the device DeviceTensors. ``ledger`` counts every
    operation that has run since the program was loaded, by target, on the device and on the host; ``held`` has the
    constants, and the host values that host segments read.
    """

    def __init__(
        self, program: Program, params: Mapping[str, Tensor], *, exact: bool, as_kernels: bool = False
    ) -> None:
        self.program = program
        self.exact, self.as_kernels = exact, as_kernels
        self.ledger: Counter[str] = Counter()
        _require_known(program)
        self.held: Mapping[str, Any] = self._hold(params)
        self._last_uses = last_uses(program)

    @torch.no_grad()
    def __call__(self, *inputs: Tensor | int | DeviceTensor) -> tuple[Any, ...]:
        """Run once; raises EmulationError, naming the step, for inputs or values that do not fit."""
        values = {**self.held, **self._bound(inputs)}
        for index, last in enumerate(self._last_uses):
            self.run_step(index, values)
            for name in last:
                values.pop(name, None)
        for name, changed in self.program.mutations:
            values[name].copy_(values[changed])
        return tuple(values[name] for name in self.program.outputs)

    def _hold(self, params: Mapping[str, Tensor]) -> dict[str, Any]:
        """Constants on the device, and those host values that the body uses."""
        program = self.program
        if missing := [value.name for value in program.params if value.name not in params]:
            raise EmulationError(f"{program.name} needs the params {', '.join(missing)}")
        # Setup computes in the params' own type, as PyTorch would: rounding to the card's comes last, once.
        known: dict[str, Any] = {value.name: params[value.name].detach() for value in program.params}
        for op in program.setup:
            known[op.output.name] = host.run(op, known)
        held = {name: known[name] for name in _used(program) if name in known}
        for constant in program.constants:
            held[constant.value.name] = self._on_device(constant.value, known[constant.source])
        return held

    def _on_device(self, value: Value, data: Tensor) -> DeviceTensor:
        assert isinstance(value.spec, TensorSpec)
        try:
            _require_held_by(value.spec.dtype, data)
            data = data if self.exact else host.saturated(data)
            return DeviceTensor(value.spec, settled(data, value.spec, exact=self.exact).contiguous())
        except EmulationError as error:
            raise EmulationError(f"{self.program.name}: {value.name}: {error}") from None

    def _bound(self, inputs: tuple[Any, ...]) -> dict[str, Any]:
        declared = self.program.inputs
        if len(inputs) != len(declared):
            raise EmulationError(f"{self.program.name} takes {len(declared)} inputs, not {len(inputs)}")
        for value, argument in zip(declared, inputs, strict=True):
            if not _fits(value.spec, argument):
                raise EmulationError(
                    f"{self.program.name}: input {value.name} must be {value.spec}, not {_kind(argument)}"
                )
        return {value.name: argument for value, argument in zip(declared, inputs, strict=True)}

    @torch.no_grad()
    def run_step(self, index: int, values: dict[str, Any]) -> None:
        """Run one step of the body on ``values`` by name; raises EmulationError, naming it."""
        step = self.program.body[index]
        if isinstance(step, HostSegment):
            for host_op in step.ops:
                values[host_op.output.name] = self._run_host(host_op, values)
            return
        try:
            results = self._run_device(step, values)
        except (EmulationError, RuntimeError, IndexError) as error:
            raise EmulationError(f"{self.program.name}: step {index} ({step.target}): {error}") from error
        values.update({value.name: result for value, result in zip(step.outputs, results, strict=True)})
        self.ledger[step.target] += 1

    def _run_host(self, op: HostOp, values: Mapping[str, Any]) -> Any:
        self.ledger[op.target] += 1
        return host.run(op, values)

    def _run_device(self, op: Op, values: Mapping[str, Any]) -> tuple[Any, ...]:
        operands = tuple(values[name] for name in op.operands)
        if op.target == MOVES_IN:
            moved = self._on_device(op.output, operands[0])
            return (DeviceTensor(moved.spec, _owned(moved.data, operands[0])),)
        if op.target == MOVES_OUT:
            spec = op.output.spec
            return (operands[0].data.to(getattr(torch, spec.dtype), copy=True),) if isinstance(spec, HostSpec) else ()
        keywords = {parameter: values[name] for parameter, name in op.keywords}
        return emulated(Call(op, operands, keywords, self.exact, self.as_kernels))


def emulated(call: Call) -> tuple[DeviceTensor, ...]:
    """Run one call.

    Results own their memory, so that no later write in place changes them, but for a call that launches nothing: its
    result is another view of the same bytes, on the card and here.
    """
    operation = OPERATIONS[call.op.target]
    assert operation.emulate is not None
    computed = operation.emulate(call)
    results = (computed,) if isinstance(computed, Tensor) else computed
    if operation.into is not None and (destination := call.keywords.get(operation.into)) is not None:
        destination.data.copy_(settled(results[0], destination.spec, exact=call.exact, by_kernel=call.as_kernels))
        return ()
    specs = [value.spec for value in call.op.outputs if isinstance(value.spec, TensorSpec)]
    inputs = [tensor.spec for tensor in (*call.operands, *call.keywords.values())]
    free = not operation.device_operations(call.op, inputs, specs)
    return tuple(_result(call, data, spec, shares_memory=free) for data, spec in zip(results, specs, strict=True))


def _result(call: Call, data: Tensor, spec: TensorSpec, *, shares_memory: bool) -> DeviceTensor:
    held = {operand.spec.dtype for operand in call.operands if operand.spec.dtype.floating == spec.dtype.floating}
    moves = OPERATIONS[call.op.target].moves_values
    kept = moves and held == {spec.dtype} and spec.dtype in _ELEMENTWISE_DTYPES
    data = settled(data, spec, exact=call.exact or kept, by_kernel=call.as_kernels)
    if shares_memory:
        return DeviceTensor(spec, data)
    data = data.contiguous()
    # PyTorch's moves give views, where a card's kernels write a tensor of their own.
    start = data.untyped_storage().data_ptr()
    shared = any(operand.data.untyped_storage().data_ptr() == start for operand in call.operands)
    return DeviceTensor(spec, data.clone(memory_format=torch.contiguous_format) if shared else data)


def _require_held_by(dtype: DType, data: Tensor) -> None:
    """Whole numbers beyond 32 bits, or below zero where there is no sign, would become others."""
    if dtype.floating or not data.numel():
        return
    # The host's int64 is checked where it enters; what a card computes wraps.
    low, high = (-(1 << 31), 1 << 31) if dtype is DType.INT32 else (0, 1 << 32)
    if not low <= int(data.min()) <= int(data.max()) < high:
        raise EmulationError(f"a tensor of {dtype.value} cannot hold {int(data.min())} to {int(data.max())}")


def _owned(data: Tensor, source: Tensor) -> Tensor:
    shared = data.untyped_storage().data_ptr() == source.untyped_storage().data_ptr()
    return data.clone() if shared else data


def _require_known(program: Program) -> None:
    for op in program.ops:
        operation = OPERATIONS.get(op.target)
        if (operation is None or operation.emulate is None) and op.target not in (MOVES_IN, MOVES_OUT):
            raise EmulationError(f"{program.name}: {op.target} is not emulated")


def _used(program: Program) -> set[str]:
    used = {*program.outputs, *(name for _, name in program.mutations)}
    return used.union(*(step.inputs for step in program.body))


def _fits(spec: TensorSpec | HostSpec, value: Any) -> bool:
    if isinstance(spec, TensorSpec):
        return isinstance(value, DeviceTensor) and value.spec.shape == spec.shape and value.spec.dtype is spec.dtype
    if not isinstance(value, Tensor):
        return not spec.shape and not isinstance(value, DeviceTensor)
    sizes = zip(spec.shape, value.shape, strict=False)
    return len(spec.shape) == value.dim() and all(isinstance(own, str) or own == size for own, size in sizes)


def _kind(value: Any) -> str:
    if isinstance(value, DeviceTensor):
        return str(value.spec)
    return f"a host tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
