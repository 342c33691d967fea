"""Recordings to workers, one at a time to each, and what became of them to whoever asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from ttscribe.batch.index import Entry
from ttscribe.batch.workers import Worker
from ttscribe.errors import TtscribeError
from ttscribe.writers import SubtitleLayout

ATTEMPTS = 3
"""How often a recording is begun before it counts as the reason why its workers die."""


@dataclass(frozen=True, slots=True)
class Item:
    """A recording and the file that its transcript goes to; ``attempts`` are those that a worker did not survive."""

    source: str
    output: Path
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What workers do with each recording.

    ``load`` are the arguments of ``load_model``, ``options`` those of ``Transcriber.transcribe``.
    """

    load: dict[str, Any]
    options: dict[str, Any]
    format_name: str
    layout: SubtitleLayout | None = None


def run(items: Sequence[Item], plan: Plan, workers: int) -> Generator[Entry, None, None]:
    """What became of each recording, in the order in which that is known; its transcript is on the disk by then.

    Large files come first, so that none is left for one worker at the end. A worker that dies is replaced. Closing the
    iterator ends the workers at once. Raises TtscribeError where the model cannot be loaded.
    """
    waiting = deque(sorted(items, key=lambda item: -_size(item.source)))
    crew = [Worker(plan) for _ in range(min(workers, len(waiting)))]
    try:
        for worker in crew:
            worker.take(waiting.popleft())
        while busy := [worker for worker in crew if worker.item is not None]:
            ready = wait([handle for worker in busy for handle in worker.handles])
            for worker in busy:
                if not {*worker.handles}.isdisjoint(ready):
                    yield from _settled(worker, waiting, crew, plan)
    finally:
        for worker in crew:
            worker.end()


def _settled(worker: Worker, waiting: deque[Item], crew: list[Worker], plan: Plan) -> Iterator[Entry]:
    """What a worker says of its recording, or what is said where it died; and its next one."""
    item = worker.item
    assert item is not None
    said = worker.result()
    if isinstance(said, TtscribeError):
        raise said
    if said is not None:
        yield replace(said, attempts=item.attempts + 1)
    else:
        item = replace(item, attempts=item.attempts + 1)
        if item.attempts < ATTEMPTS:
            waiting.append(item)
        else:
            reason = f"its worker died {item.attempts} times ({worker.death})"
            yield Entry(item.source, str(item.output), reason, attempts=item.attempts)
        worker.end()
        crew.remove(worker)
        if not waiting:
            return
        worker = Worker(plan)
        crew.append(worker)
    if waiting:
        worker.take(waiting.popleft())


def _size(source: str) -> int:
    """Bytes; of what is in a storage, or cannot be looked at, which its worker will say, none."""
    try:
        return Path(source).stat().st_size
    except OSError:
        return 0
