"""What a call is emulated with: tensors as the card holds them, and the call's arguments at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler.operations.rounding import rounded
from ttscribe.compiler.program import Config, DType, Op, TensorSpec
from ttscribe.errors import EmulationError


@dataclass(frozen=True, slots=True)
class DeviceTensor:
    """A tensor on the emulated card: ``data`` is float32 for floating-point dtypes, int64 for the others.

    It has the logical shape; what pads tiles is never stored, so it cannot reach a result. Values are those that the
    dtype can hold, unless the device is exact. In-place operations write ``data``.
    """

    spec: TensorSpec
    data: Tensor


def torch_dtype(dtype: DType) -> torch.dtype:
    """The element type that holds ``dtype``'s values on the CPU: float32, or int64 for integers."""
    # PyTorch has a uint32, but hardly any arithmetic for it.
    return torch.float32 if dtype.floating else torch.int64


def settled(data: Tensor, spec: TensorSpec, *, exact: bool, by_kernel: bool = False) -> Tensor:
    """``data`` as a tensor of ``spec`` holds it; raises EmulationError when the shapes differ."""
    if tuple(data.shape) != spec.shape:
        raise EmulationError(f"a tensor of shape {tuple(data.shape)} is given for {spec.shape}")
    data = data.to(torch_dtype(spec.dtype))
    return data if exact and spec.dtype.floating else rounded(data, spec.dtype, by_kernel=by_kernel)


@dataclass(frozen=True, slots=True)
class Call:
    """One TT-NN call to emulate, its tensors at hand.

    ``exact`` asks for float32 without any of a card's rounding, ``as_kernels`` for what TT-NN's kernels compute, sum by
    sum, where that is known; without either, an operation computes in float32 and its result is rounded.
    """

    op: Op
    operands: tuple[DeviceTensor, ...]
    keywords: dict[str, DeviceTensor]
    exact: bool
    as_kernels: bool = False

    @property
    def data(self) -> tuple[Tensor, ...]:
        """The operands' values."""
        return tuple(operand.data for operand in self.operands)

    def keyword(self, name: str) -> Tensor | None:
        """The values of the tensor passed as ``name``, or None."""
        tensor = self.keywords.get(name)
        return None if tensor is None else tensor.data

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute of that name; ``default`` where the call does not say or says None."""
        value = self.op.attribute(name)
        return default if value is None else value

    def rounded(self, data: Tensor, dtype: DType) -> Tensor:
        """``data`` as a tensor of ``dtype`` would hold it."""
        return data if self.exact else rounded(data, dtype, by_kernel=self.as_kernels)

    def fidelity(self, default: str, attribute: str = "compute_kernel_config") -> str:
        """The math fidelity of the call's products; exact devices multiply in full."""
        if self.exact:
            return "HiFi4"
        config: Config | None = self.op.attribute(attribute)
        return default if config is None else str(config["math_fidelity"])

    @property
    def narrow(self) -> bool:
        """Whether every operand holds numbers of 16 bits or fewer, as the kernels that are emulated take them."""
        dtypes = (DType.BFLOAT16, DType.BFLOAT8_B, DType.BFLOAT4_B)
        return all(operand.spec.dtype in dtypes for operand in self.operands)
