"""Pseudo-terminals, for what a command shows only on a terminal."""

import contextlib
import os


def everything_shown(terminal: int) -> str:
    """All that is written to the other side of ``terminal`` until no process holds it; closes ``terminal``."""
    shown = b""
    with contextlib.suppress(OSError):  # what Linux gives at the end, when no process holds the other side
        while piece := os.read(terminal, 4096):
            shown += piece
    os.close(terminal)
    return shown.decode()
