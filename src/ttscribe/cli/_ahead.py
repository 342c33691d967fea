"""The next recording is begun, that is read and listened to, while the one before it is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Queue
from threading import Thread
from typing import TypeVar

from ttscribe import threads
from ttscribe.processor import cores

_Job = TypeVar("_Job")
_Begun = TypeVar("_Begun")

_ELSEWHERE = ("cuda", "ttnn")
"""Devices that leave this machine's cores to themselves while they decode."""


def cores_are_free(device: str) -> bool:
    """Whether a core has nothing to do while ``device`` decodes."""
    return device.partition(":")[0] in _ELSEWHERE or threads.count() < cores()


def begun(jobs: Sequence[_Job], begin: Callable[[_Job], _Begun], *, ahead: bool) -> Sequence[Callable[[], _Begun]]:
    """For each job what gives it begun, or raises what beginning it raised; to be asked one after the other.

    With ``ahead`` a thread begins each as soon as the one before was taken; else it begins when it is asked for.
    """
    return _ahead(jobs, begin) if ahead and len(jobs) > 1 else [partial(begin, job) for job in jobs]


def _ahead(jobs: Sequence[_Job], begin: Callable[[_Job], _Begun]) -> Sequence[Callable[[], _Begun]]:
    queue: Queue[Future[_Begun]] = Queue()

    def work() -> None:
        for job in jobs:
            future: Future[_Begun] = Future()
            try:
                future.set_result(begin(job))
            except BaseException as error:  # noqa: BLE001 - it is raised where the job is asked for
                future.set_exception(error)
            queue.put(future)
            queue.join()

    def take() -> _Begun:
        future = queue.get()
        queue.task_done()
        return future.result()

    # It keeps no command from ending.
    Thread(target=work, name="begins-recordings", daemon=True).start()
    return [take] * len(jobs)
