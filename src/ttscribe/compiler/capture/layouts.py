"""Where PyTorch's own results are: strides, offsets, and whose memory; sizes may be known only when a graph runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, fx
from torch.multiprocessing.reductions import StorageWeakRef

_Bound = tuple[tuple[Any, int], ...]


@dataclass(frozen=True, slots=True)
class MemoryLayout:
    """One tensor's strides and the offset of its first element, from an argument's first where it is a view of that."""

    strides: tuple[int, ...]
    offset: int
    argument: int | None = None

    def of(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` lies so."""
        return (*tensor.stride(), tensor.storage_offset()) == (*self.strides, self.offset)

    def view(self, argument: Tensor, shape: Sequence[int]) -> Tensor:
        """The view of the argument."""
        return argument.as_strided(shape, self.strides, argument.storage_offset() + self.offset)

    def copied(self, tensor: Tensor) -> Tensor:
        """A copy that lies so, in memory of its own; what expansion repeats is there once, as it is in PyTorch."""
        once = [1 if step == 0 else size for size, step in zip(tensor.shape, self.strides, strict=True)]
        reach = sum((size - 1) * step for size, step in zip(once, self.strides, strict=True)) + 1 if prod(once) else 0
        memory = torch.empty(self.offset + reach, dtype=tensor.dtype)
        first = tensor[tuple(slice(size) for size in once)] if once else tensor
        memory.as_strided(once, self.strides, self.offset).copy_(first)
        return memory.as_strided(tensor.shape, self.strides, self.offset)


class ResultLayouts:
    """The layouts of a graph's results: ``layouts(*arguments)`` has one for each, None where PyTorch has none.

    AOTAutograd makes views of arguments again from the strides and the offset of what the graph gives for them.
    """

    def __init__(self, placeholders: Sequence[fx.Node], outputs: Sequence[Any]) -> None:
        self._arguments = [node.meta["val"] for node in placeholders]
        self._results = [output.meta["val"] if isinstance(output, fx.Node) else None for output in outputs]
        owners = [_owner(described) for described in self._arguments]
        self._owners = [_index(owners, described) for described in self._results]
        self._found: dict[_Bound, list[MemoryLayout | None]] = {}

    def __call__(self, *arguments: Any) -> list[MemoryLayout | None]:
        bound = tuple(self._bound(arguments))
        if bound not in self._found:
            self._found[bound] = list(self._laid_out(dict(bound)))
        return self._found[bound]

    def _bound(self, arguments: Sequence[Any]) -> Iterator[tuple[Any, int]]:
        for described, given in zip(self._arguments, arguments, strict=True):
            if isinstance(described, Tensor) and not isinstance(given, Tensor):
                # A token, which has no value.
                continue
            for symbol, number in zip(_numbers(described), _numbers(given), strict=True):
                if isinstance(symbol, torch.SymInt) and symbol.node.expr.is_symbol:
                    yield symbol.node.expr, number

    def _laid_out(self, numbers: Mapping[Any, int]) -> Iterator[MemoryLayout | None]:
        for described, owner in zip(self._results, self._owners, strict=True):
            if not isinstance(described, Tensor):
                yield None
                continue
            start = 0 if owner is None else self._arguments[owner].storage_offset()
            found = [_number(item, numbers) for item in (*described.stride(), described.storage_offset() - start)]
            known = [number for number in found if number is not None]
            yield MemoryLayout(tuple(known[:-1]), known[-1], owner) if len(known) == len(found) else None


def _owner(described: Any) -> tuple[StorageWeakRef, torch.dtype] | None:
    """What tells a described tensor's memory, read as its element type, from others."""
    if not isinstance(described, Tensor):
        return None
    return StorageWeakRef(described.untyped_storage()), described.dtype  # type: ignore[no-untyped-call]


def _index(owners: Sequence[Any], described: Any) -> int | None:
    owner = _owner(described)
    return owners.index(owner) if owner is not None and owner in owners else None


def _numbers(described: Any) -> tuple[Any, ...]:
    if isinstance(described, Tensor):
        return (*described.shape, *described.stride(), described.storage_offset())
    return (described,)


def _number(item: Any, numbers: Mapping[Any, int]) -> int | None:
    """What a size that may be symbolic is in this run; None for one that data decides."""
    if not isinstance(item, torch.SymInt):
        return int(item)
    expression = item.node.expr.xreplace(numbers)
    return int(expression) if isinstance(expression, int) or expression.is_number else None
