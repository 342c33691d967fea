"""Recordings to workers, one at a time to each, and what became of them to whoever asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ttscribe.batch.doing import Crew, Done, Item, Plan, Worker
from ttscribe.batch.index import Entry
from ttscribe.errors import OutputError, TtscribeError
from ttscribe.writers import write_transcript

ATTEMPTS = 3
"""How often a recording is begun before it counts as the reason why its workers die."""


def run(items: Sequence[Item], crew: Crew, workers: int) -> Generator[Entry, None, None]:
    """What became of each recording, in the order in which that is known; its transcript is on the disk by then.

    Large files come first, so that none is left for one worker at the end. A worker that dies is replaced. Closing the
    iterator ends the workers at once. Raises TtscribeError where the model cannot be loaded.
    """
    waiting = deque(sorted(items, key=lambda item: -_size(item.source)))
    hired: list[Worker] = []
    try:
        for _ in range(min(workers, len(waiting))):
            hired.append(crew.hire())
            hired[-1].take(waiting.popleft())
        while busy := [worker for worker in hired if worker.item is not None]:
            for worker in crew.ready(busy):
                yield from _settled(worker, waiting, hired, crew)
    finally:
        for worker in hired:
            worker.end()


def _settled(worker: Worker, waiting: deque[Item], hired: list[Worker], crew: Crew) -> Iterator[Entry]:
    """What a worker says of its recording, or what is said where it died; and its next one."""
    item = worker.item
    assert item is not None
    said = worker.result()
    if isinstance(said, TtscribeError):
        raise said
    if said is not None:
        yield replace(_written(said, crew.plan), attempts=item.attempts + 1)
    else:
        item = replace(item, attempts=item.attempts + 1)
        if item.attempts < ATTEMPTS:
            waiting.append(item)
        else:
            reason = f"its worker died {item.attempts} times ({worker.death})"
            yield Entry(item.source, str(item.output), reason, attempts=item.attempts)
        worker.end()
        hired.remove(worker)
        if not waiting:
            return
        worker = crew.hire()
        hired.append(worker)
    if waiting:
        worker.take(waiting.popleft())


def _written(done: Done, plan: Plan) -> Entry:
    """The entry of a recording once its transcript is on the disk, or of one that cannot be written."""
    entry = done.entry
    if done.info is None:
        return entry
    try:
        write_transcript(Path(entry.output), plan.format_name, done.segments, done.info, plan.layout)
    except OutputError as error:
        return Entry.failed(entry.source, entry.output, str(error))
    return entry


def _size(source: str) -> int:
    """Bytes; of what is in a storage, or cannot be looked at, which its worker will say, none."""
    try:
        return Path(source).stat().st_size
    except OSError:
        return 0
