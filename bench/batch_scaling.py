"""How the throughput of ``ttscribe batch`` grows with its workers: measured with this machine's, simulated beyond.

    bench/batch_scaling.py [--model tiny.en] [--json FILE]
    bench/batch_scaling.py --from FILE --markdown docs/batch.md

*Measured*: recordings of 5 to 44 s of read English are done by one worker and by two, a thread each, and by one with
two threads; and what a long recording takes to be read and listened to, and to be decoded.

*Simulated*: the command's own loop, that shares recordings out, writes transcripts and adds to the index, with workers
that only count time. Each has a machine of its own, and takes what was measured here with one worker of one thread;
what the loop itself takes is measured as it runs, and added. Lengths are drawn by a seed (log-normal, median 3 min,
mean 6).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

import ttscribe
from sounds import write_wav
from ttscribe.audio import SAMPLE_RATE
from ttscribe.batch import Entry, Index, Item, Plan, Processes, run
from ttscribe.batch.doing import Done
from ttscribe.bench.clips import clips
from ttscribe.bench.machine import cores, features, processor
from ttscribe.reports import pages
from ttscribe.reports.model_table import between_markers
from ttscribe.types import Samples, Segment, TranscriptionInfo

MARKERS = ("<!-- scaling:begin -->", "<!-- scaling:end -->")
SHORT, LONG = 60, 600
"""How many short recordings are measured, and how many seconds the long one has."""

RECORDINGS, WORKERS, PART = 1000, (1, 4, 16, 64, 256), 600.0
"""What is simulated; parts of long recordings have at most about so many seconds."""

SEGMENT = 5.0
"""Seconds of a simulated transcript's segment."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """``elapsed`` seconds that workers took for all recordings, of ``sound`` seconds; measured or simulated."""

    workers: int
    threads: int
    split: bool
    recordings: int
    sound: float
    elapsed: float

    @property
    def speed(self) -> float:
        """Seconds of sound a second."""
        return self.sound / self.elapsed


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds of one worker with one thread: to begin, and for a second of sound to be heard, and to be decoded."""

    load: float
    listen: float
    decode: float


@dataclass(frozen=True, slots=True)
class Results:
    machine: str
    model: str
    measured: list[Crowd]
    rates: Rates
    simulated: list[Crowd]
    loop: float
    """Milliseconds of the command's own loop for each recording, in the simulation."""


def write_silence(path: Path, seconds: float) -> None:
    """A file that says how long it is, and takes no room."""
    write_wav(path, np.zeros(0, np.float32))
    size = 2 * round(seconds * SAMPLE_RATE)
    with path.open("r+b") as file:
        for at, value in ((4, 36 + size), (40, size)):
            file.seek(at)
            file.write(value.to_bytes(4, "little"))
        file.truncate(44 + size)


def done_by(items: Sequence[Item], crew: Processes | Simulation, workers: int, split: float | None) -> list[Entry]:
    """As the command does it: each recording is in the index before the next one is."""
    index, entries = Index(items[0].output.parent), []
    with closing(run(items, crew, workers, split)) as settled:
        for entry in settled:
            index.add(entry)
            entries.append(entry)
    failed = [entry for entry in entries if entry.error is not None]
    if failed or len(entries) != len(items):
        raise RuntimeError(f"{len(failed)} of {len(items)} failed: {failed[:1]}")
    return entries


def measure(model: str) -> tuple[list[Crowd], Rates]:
    sound = clips([])[-1].samples
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder, lengths = Path(name), np.random.default_rng(0).integers(5, 45, SHORT)
        for number, seconds in enumerate(lengths):
            write_wav(folder / f"{number}.wav", sound[: seconds * SAMPLE_RATE])
        for workers, threads in ((1, 1), (2, 1), (1, 2)):
            to = folder / f"{workers}-{threads}"
            to.mkdir()
            items = [Item(str(folder / f"{number}.wav"), to / f"{number}.txt") for number in range(SHORT)]
            plan = Plan({"name_or_path": model, "threads": threads, "offline": True}, {"language": "en"}, "txt")
            began = time.perf_counter()
            entries = done_by(items, Processes(plan), workers, None)
            elapsed = time.perf_counter() - began
            found.append(Crowd(workers, threads, False, SHORT, float(lengths.sum()), elapsed))
            if (workers, threads) == (1, 1):
                load = elapsed - sum(entry.work_seconds for entry in entries)
    return found, Rates(load, *_of_a_long_recording(model, np.resize(sound, LONG * SAMPLE_RATE)))


def _of_a_long_recording(model: str, samples: Samples) -> tuple[float, float]:
    """What a second of it takes to be heard, and to be decoded."""
    torch.set_num_threads(1)
    with ttscribe.load_model(model, offline=True) as transcriber:
        list(transcriber.transcribe(samples[: 30 * SAMPLE_RATE], sample_rate=SAMPLE_RATE).segments)
        began = time.perf_counter()
        segments, _ = transcriber.transcribe(samples, sample_rate=SAMPLE_RATE, language="en")
        heard = time.perf_counter()
        list(segments)
        return (heard - began) / LONG, (time.perf_counter() - heard) / LONG


class Simulation:
    """A crew in simulated time: its clock goes on by what the loop takes, and to where the next worker is done."""

    def __init__(self, rates: Rates, lengths: dict[str, float]) -> None:
        self.plan = Plan({}, {}, "txt")
        self.rates, self.lengths, self.clock, self.loop = rates, lengths, 0.0, 0.0
        self._left = time.perf_counter()

    def hire(self) -> Simulated:
        return Simulated(self)

    def ready(self, busy: Sequence[Simulated]) -> list[Simulated]:
        taken = time.perf_counter() - self._left
        self.loop += taken
        first = min(busy, key=lambda worker: worker.finish)
        self.clock = max(self.clock + taken, first.finish)
        self._left = time.perf_counter()
        return [first]


class Simulated:
    """A worker of the simulation, on a machine of its own."""

    death = "none of the simulation dies"

    def __init__(self, crew: Simulation) -> None:
        self._crew = crew
        self.item: Item | None = None
        self.finish = crew.clock + crew.rates.load

    def take(self, item: Item) -> None:
        self.item, rates = item, self._crew.rates
        seconds, (_, count) = self._crew.lengths[item.source], item.part
        # Of a part the whole recording is read and listened to.
        self._work = seconds * (rates.listen + rates.decode / count)
        self.finish = max(self.finish, self._crew.clock) + self._work

    def result(self) -> Done:
        item, self.item = self.item, None
        assert item is not None
        seconds, (index, count) = self._crew.lengths[item.source], item.part
        starts = np.arange(index * seconds / count, (index + 1) * seconds / count, SEGMENT)
        heard = [
            Segment(at, start, start + SEGMENT, "word " * 12, (1,) * 20, -0.2, 0.0, 0.0, 1.5)
            for at, start in enumerate(starts.tolist())
        ]
        entry = Entry.of(item.source, str(item.output), heard, seconds=seconds, work_seconds=self._work)
        return Done(entry, heard, TranscriptionInfo("simulated", "cpu", "int8", "transcribe", "en", 1.0, seconds))

    def end(self) -> None:
        pass


def simulate(rates: Rates) -> tuple[list[Crowd], float]:
    """By workers, with long recordings whole and split; and the loop's milliseconds for a recording, at most."""
    lengths = np.random.default_rng(0).lognormal(np.log(180), np.sqrt(2 * np.log(2)), RECORDINGS).tolist()
    found, loop = [], 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = {str(folder / f"{number}.wav"): seconds for number, seconds in enumerate(lengths)}
        for source, seconds in sources.items():
            write_silence(Path(source), seconds)
        for split in (False, True):
            for workers in WORKERS:
                to = folder / f"{workers}-{split}"
                to.mkdir()
                items = [Item(source, to / f"{Path(source).stem}.txt") for source in sources]
                crew = Simulation(rates, sources)
                done_by(items, crew, workers, PART if split else None)
                found.append(Crowd(workers, 1, split, len(items), sum(lengths), crew.clock))
                loop = max(loop, 1e3 * crew.loop / len(items))
    return found, loop


def table(results: Results) -> Iterator[str]:
    yield f"\n{results.machine}; {results.model}, int8.\n"
    one = results.measured[0]
    rows = [
        (each.workers, each.threads, f"{each.elapsed:.1f} s", f"{each.speed:.1f}", f"{each.speed / one.speed:.2f}")
        for each in results.measured
    ]
    yield f"*Measured*: {one.recordings} recordings, {one.sound / 60:.0f} minutes of sound.\n"
    yield from pages.table(("workers", "threads each", "time", "seconds of sound a second", "beside one"), rows)
    rates = results.rates
    first = results.simulated[0]
    yield (
        f"\n*Simulated* beyond: {first.recordings} recordings, {first.sound / 3600:.0f} hours of sound, a machine for "
        f"each worker. By what was measured a worker begins in {rates.load:.1f} s, hears a second of sound in "
        f"{1e3 * rates.listen:.1f} ms and decodes it in {1e3 * rates.decode:.1f}; the command's own loop took at most "
        f"{results.loop:.1f} ms a recording.\n"
    )
    whole, parts = ([each for each in results.simulated if each.split is split] for split in (False, True))
    yield from pages.table(
        ("workers", "time", "beside one", f"with --split {PART / 60:.0f}", "beside one"),
        [
            (
                each.workers,
                f"{each.elapsed / 60:.1f} min",
                f"{first.elapsed / each.elapsed:.1f}",
                f"{other.elapsed / 60:.1f} min",
                f"{first.elapsed / other.elapsed:.1f}",
            )
            for each, other in zip(whole, parts, strict=True)
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from", type=Path, dest="taken")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.taken is not None:
        results = msgspec.json.decode(arguments.taken.read_bytes(), type=Results)
    else:
        measured, rates = measure(arguments.model)
        here = f"{processor()} ({', '.join(features() or ())}), {cores()} cores"
        results = Results(here, arguments.model, measured, rates, *simulate(rates))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    content = "\n".join(table(results))
    if arguments.markdown is not None:
        text = arguments.markdown.read_text(encoding="utf-8")
        arguments.markdown.write_text(
            between_markers(text, f"{content}\n", arguments.markdown.name, MARKERS), encoding="utf-8"
        )
    else:
        print(content)


if __name__ == "__main__":
    # Processes that are spawned read this file again.
    main()
