"""How many threads this process computes with, whether or not PyTorch is imported."""

from __future__ import annotations

import os
import sys
from functools import cache

from ttscribe.errors import OptionError
from ttscribe.processor import cores

_VARIABLE = "OMP_NUM_THREADS"

_limit: int | None = None


def count() -> int:
    """As many as ``limit`` said; else one for each core, or fewer where ``OMP_NUM_THREADS`` says so, as PyTorch's."""
    return _limit or _default()


def limit(threads: int) -> None:
    """Compute with so many threads from now on, in PyTorch too.

    Raises:
        OptionError: they are fewer than 1.
    """
    global _limit  # noqa: PLW0603 - there is one number for the process
    if threads < 1:
        raise OptionError(f"threads must be at least 1, not {threads}")
    _limit = threads
    if "torch" in sys.modules:
        # Waits where another thread is in the midst of importing it.
        import torch

        torch.set_num_threads(threads)
    else:
        # PyTorch reads it where it is imported after this.
        os.environ[_VARIABLE] = str(threads)


@cache
def _default() -> int:
    # A list is for threads within threads: the first number is that of the outer ones.
    given = os.environ.get(_VARIABLE, "").partition(",")[0].strip()
    return min(int(given), cores()) if given.isdecimal() and int(given) else cores()
