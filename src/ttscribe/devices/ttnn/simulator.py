"""Tenstorrent's functional simulator, ttsim: TT-NN's own kernels, real values, and no time.

TT-NN finds it by ``TT_METAL_SIMULATOR``. It needs the compiler, as a card does, and slow dispatch: the host itself
starts each operation and waits for it. So there are no traces, and one command queue.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ttscribe.errors import DeviceUnavailable

SIMULATOR, SLOW_DISPATCH = "TT_METAL_SIMULATOR", "TT_METAL_SLOW_DISPATCH_MODE"


def simulator() -> str | None:
    """The simulator that ``TT_METAL_SIMULATOR`` names, if any."""
    return os.environ.get(SIMULATOR)


def slow_dispatch() -> bool:
    """Whether this process dispatches from the host, an operation at a time."""
    return SLOW_DISPATCH in os.environ


def dispatch_slowly() -> None:
    """Ask for slow dispatch; raises DeviceUnavailable where TT-NN is imported already, and may have chosen another."""
    if slow_dispatch():
        return
    if "ttnn" in sys.modules:
        raise DeviceUnavailable(
            f"ttnn was imported before {SLOW_DISPATCH}=1 was set, which the simulator needs: set it, and start again"
        )
    os.environ[SLOW_DISPATCH] = "1"


def require_simulator(named: str) -> None:
    """Raise DeviceUnavailable where ``named`` is no simulator that this process can use."""
    if not Path(named).exists():
        raise DeviceUnavailable(f"{SIMULATOR} names {named}, which does not exist")
    dispatch_slowly()


def refuse_time(what: str) -> None:
    """Raise DeviceUnavailable where a simulator would be timed: its seconds are not a board's."""
    if simulator() is not None:
        raise DeviceUnavailable(f"{SIMULATOR} is set: a simulator has values and no time, so {what}; unset it")
