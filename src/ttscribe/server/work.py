"""Who is served when: a bounded queue in which clients take turns, before a few threads that do the work."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ttscribe.server.problems import busy

_MEMORY = 0.2
"""Of the last job's seconds in the mean of which ``Retry-After`` is made."""


class Cancelled(Exception):
    """Raised in a job whose client has gone, or has waited too long."""


@dataclass(slots=True)
class Job:
    """Something to do for ``client``; ``run`` is called in a worker's thread, with the job, and raises nothing."""

    client: str
    run: Callable[[Job], None]
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Have the job end at the next ``check``; one that has not begun never does."""
        self._cancelled.set()

    def check(self, *_: object) -> None:
        """Raises Cancelled from ``cancel`` on."""
        if self._cancelled.is_set():
            raise Cancelled

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()


class Work:
    """``workers`` threads, and up to ``waiting`` jobs before them: of several clients one of each in turn."""

    def __init__(self, workers: int, waiting: int) -> None:
        self._most = waiting
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()
        self._changed = threading.Condition()
        self._finishing = False
        self._idle = workers
        self._mean = 1.0
        self._workers = workers
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, client: str, run: Callable[[Job], None]) -> Job:
        """Have it done in its turn. Raises Problem, with status 429, where too many wait already."""
        job = Job(client, run)
        with self._changed:
            waiting = self._waiting()
            if waiting >= self._most + self._idle:
                raise busy(max(1, round(self._mean * (waiting + 1) / self._workers)))
            self._queues.setdefault(client, deque()).append(job)
            self._changed.notify()
        return job

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        with self._changed:
            return self._waiting()

    @property
    def working(self) -> int:
        """Jobs that have begun and not ended."""
        with self._changed:
            return self._workers - self._idle

    def finish(self) -> None:
        """Do what is waiting, and end the threads."""
        with self._changed:
            self._finishing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _waiting(self) -> int:
        return sum(not job.is_cancelled for queue in self._queues.values() for job in queue)

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            began = time.monotonic()
            job.run(job)
            with self._changed:
                self._idle += 1
                self._mean += _MEMORY * (time.monotonic() - began - self._mean)

    def _next(self) -> Job | None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queues or self._finishing)
                if not self._queues:
                    return None
                client, queue = self._queues.popitem(last=False)
                job = queue.popleft()
                if queue:
                    self._queues[client] = queue  # behind the others
                if not job.is_cancelled:
                    self._idle -= 1
                    return job
