"""Processes of this machine that each hold a model and do one recording at a time."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from ttscribe.batch.doing import Done, Item, Plan, Transcribing
from ttscribe.errors import TtscribeError

_SPAWN = multiprocessing.get_context("spawn")  # a process that has threads, as PyTorch's has, must not be forked


class Processes:
    """A crew of processes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def hire(self) -> Process:
        return Process(self.plan)

    def ready(self, busy: Sequence[Process]) -> list[Process]:
        found = wait([handle for worker in busy for handle in worker.handles])
        return [worker for worker in busy if not {*worker.handles}.isdisjoint(found)]


class Process:
    """A worker that ends with this object's process at the latest."""

    def __init__(self, plan: Plan) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, plan), daemon=True)
        self.item: Item | None = None
        with _interrupts_held_back():
            self._process.start()
        theirs.close()

    @property
    def handles(self) -> tuple[Any, ...]:
        """What ``multiprocessing.connection.wait`` finds ready where there is a result, or no process any more."""
        return self._connection, self._process.sentinel

    def take(self, item: Item) -> None:
        self.item = item
        with suppress(OSError):  # it is dead, which its sentinel tells
            self._connection.send(item)

    def result(self) -> Done | TtscribeError | None:
        self.item = None
        try:
            said: Done | TtscribeError = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return None
        return said

    @property
    def death(self) -> str:
        code = self._process.exitcode or 0
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C is for the command, which ends its workers: a process that is started in the block never heeds it.

    One that comes meanwhile is heeded after the block, where ignoring it would have lost it.
    """
    if sys.platform == "win32":
        yield
        return
    # It is started with the first process, and lets Ctrl-C through again where it was held back.
    resource_tracker.ensure_running()
    came: list[int] = []
    # A process inherits what its thread holds back; here another thread may take the signal, and have it handled.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before = signal.getsignal(signal.SIGINT)
    is_heeded = before not in (None, signal.SIG_IGN)
    if is_heeded:
        signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if is_heeded:
            signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _serve(connection: Connection, plan: Plan) -> None:
    """In the process: recordings come, results go, until nobody is there any more."""
    logging.getLogger("ttscribe").addHandler(logging.NullHandler())
    transcribing = Transcribing(plan)
    with suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(transcribing.do(connection.recv()))
