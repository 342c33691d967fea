"""The one place where a Program's calls become calls of TT-NN: on a card, a simulator or a mock board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler.host import saturated
from ttscribe.compiler.operations import MOVES_IN, MOVES_OUT, OPERATIONS
from ttscribe.compiler.operations.arguments import Construct, Name, evaluate, ttnn_argument
from ttscribe.compiler.program import HostSpec, Op, Ref, TensorSpec


class NotWritten(RuntimeError):
    """A call left a tensor as it was that it should have written."""


class Calls:
    """Makes the calls of one loaded program on ``device``; ``library`` is the ttnn module.

    Convolution weights are prepared at the first call and kept.
    """

    def __init__(self, library: Any, device: Any) -> None:
        self.library, self.device = library, device
        self._names = {"ttnn": library, "device": device, "grid": device.compute_with_storage_grid_size()}
        self._made: dict[Any, Any] = {}
        self._prepared: dict[str, tuple[Any, Any]] = {}

    def argument(self, item: Any) -> Any:
        """An attribute as TT-NN takes it; objects of TT-NN's are made once."""
        expression = ttnn_argument(item)
        if not isinstance(expression, Name | Construct):
            return evaluate(expression, self._names)
        if expression not in self._made:
            self._made[expression] = evaluate(expression, self._names)
        return self._made[expression]

    def placement(self, spec: TensorSpec) -> dict[str, Any]:
        """The keyword arguments that make a tensor of ``spec``, but for its shape."""
        chosen = {"dtype": spec.dtype, "layout": spec.layout, "memory_config": spec.memory}
        return {name: self.argument(item) for name, item in chosen.items()}

    def run(self, op: Op, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Make one call on ``values`` by name; gives the tensors that ``op.outputs`` declares.

        Raises NotWritten where a tensor that it should write in place was left as it was.
        """
        special = _SPECIAL.get(op.target)
        if special is not None:
            return special(self, op, values)
        positional, keywords = self._arguments(op, values)
        returned = evaluate(Name(op.target), self._names)(*positional, **keywords)
        results = tuple(returned) if isinstance(returned, tuple | list) else (returned,)
        self._require_written(op, results, values)
        return results if op.outputs else ()

    def _require_written(self, op: Op, results: tuple[Any, ...], values: Mapping[str, Any]) -> None:
        """Raise NotWritten where a call that is to write in place gives other memory than it was given.

        TT-NN returns what it has written. A tensor to write into that it does not like, such as a list of another
        length than it has results, it ignores without a word.
        """
        addresses = {result.buffer_address() for result in results if result is not None and result.is_allocated()}
        for name in OPERATIONS[op.target].written(op):
            if values[name].buffer_address() not in addresses:
                raise NotWritten(f"{op.target} does not write into {name}, which it was given to write into")

    def _arguments(self, op: Op, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        positional, keywords = OPERATIONS[op.target].call(op)
        named = {name: self._given(item, values) for name, item in keywords.items()}
        return [self._given(item, values) for item in positional], named

    def _given(self, item: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(item, Ref):
            return values[item.name]
        if isinstance(item, list):
            return [self._given(element, values) for element in item]
        return self.argument(item)

    def host_tensor(self, data: Tensor, spec: TensorSpec, spread: Any = None) -> Any:
        """A TT-NN tensor on the host, converted to the spec's element type and layout.

        ``spread`` says which part each chip gets; without it each gets the whole.
        """
        # float16 and int64 have no counterpart in TT-NN.
        data = saturated(data.float()) if spec.dtype.floating else data.to(torch.int32)
        chosen = self.placement(spec)
        return self.library.from_torch(
            data.contiguous(), dtype=chosen["dtype"], layout=chosen["layout"], mesh_mapper=spread
        )

    def place(self, host: Any, spec: TensorSpec) -> Any:
        """A host tensor on the device."""
        return self.library.to_device(host, self.device, memory_config=self.argument(spec.memory))

    def empty(self, spec: TensorSpec) -> Any:
        """A tensor on the device that holds whatever was there."""
        return self.library.empty([*spec.shape], device=self.device, **self.placement(spec))

    def _convolve(self, op: Op, values: Mapping[str, Any]) -> tuple[Any, ...]:
        _, keywords = self._arguments(op, values)
        weight = op.operands[1]
        # conv1d prepares weights that it is given on the host, and takes those that it has prepared as they are. No
        # trace holds work of the host, so the run before recording must have done it.
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
        # A tensor is one of the whole mesh, with a part for each chip.
        first, *_ = self.library.get_device_tensors(values[op.operands[0]])
        return (self.library.to_torch(first).to(getattr(torch, spec.dtype)),)


_SPECIAL: dict[str, Callable[[Calls, Op, Mapping[str, Any]], tuple[Any, ...]]] = {
    "ttnn.conv1d": Calls._convolve,  # noqa: SLF001 - the table stands in for a chain of ifs in the class itself
    MOVES_IN: Calls._move_in,  # noqa: SLF001
    MOVES_OUT: Calls._move_out,  # noqa: SLF001
}
