"""Recordings to workers, one at a time to each, and what became of them to whoever asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

from ttscribe.audio import told_seconds
from ttscribe.batch.doing import Crew, Done, Item, Plan, Worker
from ttscribe.batch.index import Entry
from ttscribe.batch.inputs import opened
from ttscribe.errors import OutputError, TtscribeError
from ttscribe.writers import write_transcript

ATTEMPTS = 3
"""How often a recording, or a part of one, is begun before it counts as the reason why its workers die."""


def run(items: Sequence[Item], crew: Crew, workers: int, longest: float | None = None) -> Generator[Entry, None, None]:
    """What became of each recording, in the order in which that is known; its transcript is on the disk by then.

    Large files come first, so that none is left for one worker at the end; those that last more than ``longest``
    seconds, where that is given, are shared among the workers in parts. A worker that dies is replaced. Closing the
    iterator ends the workers at once. Raises TtscribeError where the model cannot be loaded.
    """
    parts = [part for item in items for part in _parts(item, longest)]
    batch = _Batch(crew, deque(sorted(parts, key=lambda item: -_size(item.source) / item.part[1])))
    try:
        batch.hire(min(workers, len(parts)))
        while busy := [worker for worker in batch.hired if worker.item is not None]:
            for worker in crew.ready(busy):
                yield from batch.settled(worker)
    finally:
        for worker in batch.hired:
            worker.end()


def _parts(item: Item, longest: float | None) -> list[Item]:
    """The recording as one, or in parts of at most about ``longest`` seconds, as its file tells its length."""
    count = 1 if longest is None else max(1, ceil(_seconds(item.source) / longest))
    return [replace(item, part=(index, count)) for index in range(count)]


@dataclass(slots=True)
class _Batch:
    """What is still to be done, who does it, and the parts that are done of recordings of which others are not."""

    crew: Crew
    waiting: deque[Item]
    hired: list[Worker] = field(default_factory=list)
    _parts: dict[Path, dict[int, Done]] = field(default_factory=dict)
    _given_up: set[Path] = field(default_factory=set)

    def hire(self, count: int) -> None:
        """So many workers, each with the next recording."""
        for _ in range(count):
            self.hired.append(self.crew.hire())
            self.hired[-1].take(self.waiting.popleft())

    def settled(self, worker: Worker) -> Iterator[Entry]:
        """What a worker says of its recording, or what is said where it died; and its next one."""
        item = worker.item
        assert item is not None
        said = worker.result()
        if isinstance(said, TtscribeError):
            raise said
        item = replace(item, attempts=item.attempts + 1)
        if said is not None:
            yield from self._told(item, replace(said, entry=replace(said.entry, attempts=item.attempts)))
            if self.waiting:
                worker.take(self.waiting.popleft())
            else:
                # What it holds (cores of a cluster, memory) others may wait for.
                self._dismiss(worker)
            return
        if item.attempts < ATTEMPTS:
            self.waiting.append(item)
        else:
            reason = f"its worker died {item.attempts} times ({worker.death})"
            yield from self._told(item, Done(Entry(item.source, str(item.output), reason, attempts=item.attempts)))
        self._dismiss(worker)
        self.hire(min(1, len(self.waiting)))

    def _dismiss(self, worker: Worker) -> None:
        worker.end()
        self.hired.remove(worker)

    def _told(self, item: Item, done: Done) -> Iterator[Entry]:
        """The entry of a recording once all of it is done, or one part of it is given up."""
        _, count = item.part
        if item.output in self._given_up:
            return
        if done.info is None:
            self._given_up.add(item.output)
            self.waiting = deque(each for each in self.waiting if each.output != item.output)
            yield replace(done.entry, parts=count)
            return
        gathered = self._parts.setdefault(item.output, {})
        gathered[item.part[0]] = done
        if len(gathered) == count:
            yield _written(_joined([gathered[index] for index in range(count)]), self.crew.plan)
            del self._parts[item.output]


def _joined(parts: Sequence[Done]) -> Done:
    """A recording of its parts in order."""
    heard = [segment for part in parts for segment in part.segments]
    segments = [replace(segment, id=index) for index, segment in enumerate(heard)]
    first = parts[0].entry
    entry = Entry.of(
        first.source,
        first.output,
        segments,
        **{name: getattr(first, name) for name in ("language", "seconds", "model", "device", "precision", "version")},
        work_seconds=round(sum(part.entry.work_seconds for part in parts), 3),
        attempts=max(part.entry.attempts for part in parts),
        parts=len(parts),
    )
    return Done(entry, segments, parts[0].info)


def _written(done: Done, plan: Plan) -> Entry:
    """The entry of a recording once its transcript is on the disk, or of one that cannot be written."""
    entry = done.entry
    assert done.info is not None
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


def _seconds(source: str) -> float:
    """How long a recording says that it is; 0 for what cannot be read, which its worker will say."""
    try:
        with opened(source) as sound:
            if not isinstance(sound, str):
                return told_seconds(sound)
            with Path(sound).open("rb") as file:
                return told_seconds(file)
    except Exception:  # noqa: BLE001 - each storage's package has errors of its own
        return 0.0
