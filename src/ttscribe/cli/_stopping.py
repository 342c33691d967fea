"""Ctrl-C and SIGTERM end the command within two seconds, whatever it is doing.

Python runs the handler of a signal in the main thread, between two of its own instructions: not before an operation of
PyTorch or FFmpeg has ended. So a thread waits for signals too, at the file descriptor that Python's handler in C writes
to at once. It gives the main thread a second for an orderly end, and then ends the process itself.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import warnings
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # typing takes 5 ms, in which Ctrl-C would not be listened to
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any, NoReturn

GRACE = 1.0  # seconds: a card is closed, and files are put away, in less
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
STANDARD_ERROR = 2


class Stopped(BaseException):
    """A signal came: raised wherever the main thread is, and let through by whatever catches Exception."""


class Stopping:
    """From ``listen`` to ``finish`` a signal raises Stopped; in and after ``finish`` it ends the process.

    A second one ends the process at once, and so does the end of GRACE.

    Attributes:
        clear_up: what is called before the process is ended so; it must not wait for the main thread.
    """

    def __init__(self) -> None:
        self.clear_up: tuple[Callable[[], None], ...] = ()
        self._number: int | None = None
        self._finishing = False
        self._unsaid = {"line": True}

    def listen(self) -> None:
        """Handle the signals from now on, but for those that the caller has this process ignore."""
        for number in WORDS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        import atexit
        import threading

        # Registered first, so called last, when cards are closed.
        atexit.register(self._leave)
        arrivals, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        if sys.platform != "win32":
            # A child that was forked would wake up this process by its own signals.
            os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
        threading.Thread(target=self._watch, args=(arrivals,), daemon=True).start()

    def finish(self) -> None:
        """Where a signal came, say so and exit with its status, instead of what is being raised."""
        self._finishing = True
        if self._number is not None:
            self._say(self._number)
            raise SystemExit(_status(self._number))

    def _leave(self) -> None:
        """End a process that was stopped before Python takes its modules apart, which takes PyTorch a second."""
        if self._number is not None:
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(_status(self._number))

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        first, self._number = self._number is None, number
        if self._finishing or not first:
            self._end(number)
        # Where C code or a finalizer is interrupted, Python cannot raise and would print a traceback instead.
        sys.unraisablehook = _ignore
        sys.excepthook = lambda *_: self._end(number)
        # A library whose import is interrupted may go on without what it missed and warn of it: PyTorch without NumPy.
        warnings.simplefilter("ignore")
        raise Stopped

    def _watch(self, arrivals: int) -> None:
        while (number := os.read(arrivals, 1)[0]) not in WORDS:
            pass
        time.sleep(GRACE)
        self._end(number)

    def _end(self, number: int) -> NoReturn:
        for clear_up in self.clear_up:
            clear_up()
        self._say(number)
        os._exit(_status(number))

    def _say(self, number: int) -> None:
        # Only the thread that takes it out says it.
        if self._unsaid.pop("line", False):
            tell(f"ttscribe: error: {WORDS[signal.Signals(number)]}\n")


@contextmanager
def first_interrupt(then: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl-C of the block call ``then``, which ends what the block does; the next one stops the command.

    Where the caller has this process ignore Ctrl-C, it still does.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    # The thread that waits for signals would end the process in the middle of the block.
    told = signal.set_wakeup_fd(-1)

    def restore() -> None:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def interrupted(*_: object) -> None:
        restore()
        then()

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        restore()


def tell(text: str) -> None:
    """Write to standard error without waiting: not for its reader, nor for sys.stderr's lock, which others may hold."""
    with suppress(OSError):
        if select.select([], [STANDARD_ERROR], [], 0)[1]:
            os.write(STANDARD_ERROR, text.encode())


def _status(number: int) -> int:
    """What shells give for a command that this signal ended."""
    return 128 + number


def _ignore(_unraisable: Any) -> None:
    pass
