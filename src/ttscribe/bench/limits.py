"""What this machine could do at most, by PyTorch's own operations, for shares of it to be told.

    python -m ttscribe.bench.limits THREADS WIDTH HIDDEN

prints a Limits as JSON; products are those of an encoder's layer of that width and hidden width, 1500 positions.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import msgspec
import torch
from torch import Tensor

_POSITIONS = 1500
_NUMBERS = 64 * 2**20  # 256 MiB in float32, more than any cache holds
_ENOUGH_S, _FEWEST = 0.5, 3


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes a second from memory, and operations a second (two a multiplication) of products by element type.

    An element type that PyTorch cannot multiply here is absent.
    """

    memory: float
    products: dict[str, float]


def limits(width: int, hidden: int) -> Limits:
    """Measure, with PyTorch's present number of threads."""
    products = {name: make(width, hidden) for name, make in _PRODUCTS.items()}
    operations = 2 * _POSITIONS * width * hidden
    rates = {name: rate(product, operations) for name, product in products.items()}
    return Limits(_memory(), {name: each for name, each in rates.items() if each is not None})


def rate(work: Callable[[], object], amount: float) -> float | None:
    """``amount`` over the seconds of the fastest of some runs; None where PyTorch refuses."""
    try:
        work()
    except (RuntimeError, NotImplementedError):
        return None
    fastest, runs, began = math.inf, 0, time.perf_counter()
    while runs < _FEWEST or time.perf_counter() - began < _ENOUGH_S:
        start = time.perf_counter()
        work()
        fastest, runs = min(fastest, time.perf_counter() - start), runs + 1
    return amount / fastest


def _memory() -> float:
    """Of reading all of a large array, which is what a token does with weights."""
    source = torch.ones(_NUMBERS)
    found = rate(source.sum, source.numel() * source.element_size())
    assert found is not None
    return found


def _floating(dtype: torch.dtype) -> Callable[[int, int], Callable[[], Tensor]]:
    def make(width: int, hidden: int) -> Callable[[], Tensor]:
        states, weights = torch.randn(_POSITIONS, width).to(dtype), torch.randn(width, hidden).to(dtype)
        return lambda: torch.mm(states, weights)

    return make


def _int8(width: int, hidden: int) -> Callable[[], Tensor]:
    states, weights = (
        torch.randint(-127, 128, shape, dtype=torch.int8) for shape in ((_POSITIONS, width), (width, hidden))
    )
    return lambda: torch._int_mm(states, weights)  # noqa: SLF001 - PyTorch has no public name for it


_PRODUCTS: dict[str, Callable[[int, int], Callable[[], Tensor]]] = {
    "float32": _floating(torch.float32),
    "bfloat16": _floating(torch.bfloat16),
    "int8": _int8,
}


def main() -> None:
    """Print the limits, as the arguments say."""
    threads, width, hidden = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    sys.stdout.write(msgspec.json.encode(limits(width, hidden)).decode() + "\n")


if __name__ == "__main__":
    main()
