"""The emulated card: it holds tensors and runs programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler.host import saturated
from ttscribe.compiler.operations.emulation import DeviceTensor, settled, torch_dtype
from ttscribe.compiler.program import Program, TensorSpec
from ttscribe.devices import programs
from ttscribe.devices.emulator.loaded import EmulatedProgram


class EmulatedDevice:
    """Runs programs on the CPU with a card's rounding, or, when ``exact``, in float32 throughout.

    ``as_kernels`` computes every sum and product as TT-NN's kernels do, where that is known from recorded ones: some
    twenty times as long. Without it sums are float32, and results are rounded to what they are stored as.
    """

    def __init__(self, exact: bool = False, as_kernels: bool = False) -> None:
        self.exact, self.as_kernels = exact, as_kernels and not exact

    def load(self, program: Program, params: Mapping[str, Tensor]) -> EmulatedProgram:
        """Bind ``params`` by name, run the program's setup, and hold its constants.

        Raises EmulationError for a param that is missing or of another shape. Params must not change afterwards.
        """
        return EmulatedProgram(program, params, exact=self.exact, as_kernels=self.as_kernels)

    def to_device(self, tensor: Tensor, spec: TensorSpec) -> DeviceTensor:
        """A copy of a host tensor of the spec's shape, in its dtype; raises EmulationError for another shape."""
        data = tensor.detach() if self.exact else saturated(tensor.detach())
        data = settled(data, spec, exact=self.exact)
        # A float32 tensor that needs no rounding is given back as it is, and calls write in place.
        shared = data.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
        return DeviceTensor(spec, data.clone(memory_format=torch.contiguous_format) if shared else data.contiguous())

    def to_host(self, tensor: DeviceTensor, dtype: torch.dtype) -> Tensor:
        """A copy in host memory, in ``dtype``."""
        return tensor.data.to(dtype, copy=True)

    def zeros(self, spec: TensorSpec) -> DeviceTensor:
        """A tensor of zeros: what state is before anything is written to it."""
        return DeviceTensor(spec, torch.zeros(spec.shape, dtype=torch_dtype(spec.dtype)))

    def copy(self, tensor: DeviceTensor) -> DeviceTensor:
        """The same values in memory of their own."""
        return DeviceTensor(tensor.spec, tensor.data.clone())

    def joined(self, tensors: Sequence[DeviceTensor]) -> DeviceTensor:
        """Several tensors of one shape as one in memory of its own, one after another along the first dimension."""
        data = torch.cat([tensor.data for tensor in tensors])
        return DeviceTensor(replace(tensors[0].spec, shape=tuple(data.shape)), data)

    def parted(self, tensor: DeviceTensor) -> Sequence[DeviceTensor]:
        """The rows of a tensor along the first dimension, each in memory of its own."""
        spec = replace(tensor.spec, shape=(1, *tensor.spec.shape[1:]))
        return [DeviceTensor(spec, data[None].clone()) for data in tensor.data]

    def synchronize(self) -> None:
        """Nothing is ever under way here."""

    @contextmanager
    def repeated(self, loaded: programs.LoadedProgram, inputs: Sequence[Any]) -> Iterator[Callable[[], None]]:
        """What runs a program on these inputs."""

        def run() -> None:
            loaded(*inputs)

        yield run
