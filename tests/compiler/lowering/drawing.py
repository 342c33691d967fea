"""What cases draw: shapes, tensors, arguments."""

import math

import torch
from hypothesis import strategies as st

FLOATS = (torch.float32, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32)
SIZES = (1, 2, 3, 5, 31, 32, 33, 64)
MOST_ELEMENTS = 1 << 13


class Draw:
    """Hypothesis' data with words for tensors; values come from one drawn seed."""

    def __init__(self, data):
        self._data = data
        self._generator = torch.Generator().manual_seed(self.whole(0, 999))

    def of(self, *options):
        return self._data.draw(st.sampled_from(options))

    def whole(self, low, high):
        return self._data.draw(st.integers(low, high))

    def number(self):
        return self.of(0, 1, -1, 2, 0.5, -2.25, 1e-3, 7.0)

    def size(self):
        return self.of(*SIZES)

    def shape(self, low=1, high=4):
        """``low`` to ``high`` dimensions, of few enough elements."""
        shape = []
        for _ in range(self.whole(low, high)):
            size = self.size()
            shape.append(size if math.prod([*shape, size]) <= MOST_ELEMENTS else 1)
        return tuple(shape)

    def dim(self, tensor):
        """A dimension of a tensor, counted from either end."""
        return self.whole(-tensor.ndim, tensor.ndim - 1)

    def floats(self, *shape, dtype=None):
        return torch.randn(shape, generator=self._generator).to(dtype or self.of(*FLOATS))

    def float_dtype(self):
        return self.floats(1).dtype

    def scaled(self, *shape, dtype):
        """Factors of a product that keeps its scale."""
        return self.floats(*shape, dtype=torch.float32).div(shape[-1] ** 0.5).to(dtype)

    def integers(self, *shape, low=-9, high=9, dtype=None):
        dtype = dtype or self.of(*INTEGERS)
        return torch.randint(low, high + 1, shape, generator=self._generator, dtype=dtype)

    def booleans(self, *shape):
        return torch.randint(0, 2, shape, generator=self._generator, dtype=torch.bool)

    def any(self, *shape):
        """A tensor of any kind that the device holds."""
        return self.of(self.floats, self.integers, self.booleans)(*shape)

    def narrowed(self, shape, low=0):
        """A shape that broadcasts to ``shape``."""
        cut = shape[self.whole(0, max(0, len(shape) - low)) :]
        return tuple(self.of(size, size, 1) for size in cut)

    def pair(self, kind=None):
        """Two tensors of one dtype that broadcast, either to the other's shape."""
        shape = self.shape()
        dtype = self.of(*FLOATS)
        make = kind or (lambda *sizes: self.floats(*sizes, dtype=dtype))
        both = [make(*shape), make(*self.narrowed(shape))]
        return both if self.of(True, False) else both[::-1]

    def known(self, count):
        """Which of ``count`` tensors are params: not all."""
        chosen = {index for index in range(count) if self.of(True, False, False)}
        return frozenset() if len(chosen) == count else frozenset(chosen)
