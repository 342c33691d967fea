"""The one place where a Program's calls become calls of TT-NN: on a card, a simulator or a mock board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.program import HostSpec, Op, Program, Ref, TensorSpec
from ttscribe.devices.ttnn.arguments import Arguments

CONVOLUTION = "ttnn.conv1d"


def host_weights(program: Program) -> set[str]:
    """Constants that TT-NN wants on the host, because it prepares them itself: the weights of convolutions."""
    return {name for op in program.ops if op.target == CONVOLUTION for name in list(op.inputs())[1:]}


class Calls:
    """Makes the calls of one loaded program. Convolution weights are prepared at the first call and kept."""

    def __init__(self, library: Any, device: Any) -> None:
        self.library, self.device = library, device
        self.arguments = Arguments(library, device)
        self._prepared: dict[str, tuple[Any, Any]] = {}

    def run(self, op: Op, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Make one call on ``values`` by name; gives the tensors that ``op.outputs`` declares."""
        special = _SPECIAL.get(op.target)
        if special is not None:
            return special(self, op, values)
        made = self.function(op.target)(*self.positional(op, values), **self.keywords(op, values))
        if not op.outputs:
            return ()
        return tuple(made) if isinstance(made, tuple | list) else (made,)

    def function(self, target: str) -> Callable[..., Any]:
        """The function that a target such as "ttnn.experimental.nlp_concat_heads" names."""
        _, *path = target.split(".")
        return reduce(getattr, path, self.library)  # type: ignore[no-any-return]

    def positional(self, op: Op, values: Mapping[str, Any]) -> list[Any]:
        return [self._given(item, values) for item in OPERATIONS[op.target].call(op)[0]]

    def keywords(self, op: Op, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._given(item, values) for name, item in OPERATIONS[op.target].call(op)[1].items()}

    def _given(self, item: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(item, Ref):
            return values[item.name]
        if isinstance(item, list):
            return [self._given(each, values) for each in item]
        return self.arguments.argument(item)

    def host_tensor(self, data: Tensor, spec: TensorSpec, spread: Any = None) -> Any:
        """A TT-NN tensor on the host, converted to the spec's element type and layout.

        ``spread`` says which part each chip gets; without it each gets the whole.
        """
        data = data.float() if spec.dtype.floating else data.to(torch.int32)
        chosen = self.arguments.placement(spec)
        return self.library.from_torch(
            data.contiguous(), dtype=chosen["dtype"], layout=chosen["layout"], mesh_mapper=spread
        )

    def place(self, host: Any, spec: TensorSpec) -> Any:
        """A host tensor on the device."""
        return self.library.to_device(host, self.device, memory_config=self.arguments.argument(spec.memory))

    def empty(self, spec: TensorSpec) -> Any:
        """A tensor on the device that holds whatever was there."""
        return self.library.empty([*spec.shape], device=self.device, **self.arguments.placement(spec))

    def _convolve(self, op: Op, values: Mapping[str, Any]) -> tuple[Any, ...]:
        keywords = self.keywords(op, values)
        weight = op.operands[1]
        if weight in self._prepared:
            keywords["weight_tensor"], keywords["bias_tensor"] = self._prepared[weight]
        result, self._prepared[weight] = self.library.conv1d(
            device=self.device, return_weights_and_bias=True, **keywords
        )
        return (result,)

    def _move_in(self, op: Op, values: Mapping[str, Any]) -> tuple[Any, ...]:
        spec = op.output.spec
        assert isinstance(spec, TensorSpec)
        return (self.place(self.host_tensor(values[op.operands[0]], spec), spec),)

    def _move_out(self, op: Op, values: Mapping[str, Any]) -> tuple[Any, ...]:
        spec = op.output.spec
        assert isinstance(spec, HostSpec)
        first, *_ = self.library.get_device_tensors(values[op.operands[0]])
        return (self.library.to_torch(first).to(getattr(torch, spec.dtype)),)


_SPECIAL: dict[str, Callable[[Calls, Op, Mapping[str, Any]], tuple[Any, ...]]] = {
    CONVOLUTION: Calls._convolve,  # noqa: SLF001 - the table stands in for a chain of ifs in the class itself
    "ttnn.from_torch": Calls._move_in,  # noqa: SLF001
    "ttnn.to_torch": Calls._move_out,  # noqa: SLF001
}
