"""Processes that each hold a model and do one recording at a time."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ttscribe
from ttscribe.batch.index import Entry
from ttscribe.batch.inputs import opened
from ttscribe.errors import AudioError, OutputError, TtscribeError
from ttscribe.writers import write_transcript

if TYPE_CHECKING:
    from ttscribe.batch.run import Item, Plan

_SPAWN = multiprocessing.get_context("spawn")  # a process that has threads, as PyTorch's has, must not be forked


class Worker:
    """A process. It loads the model with its first recording, and ends with this object's process at the latest."""

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
        """Have it done."""
        self.item = item
        with suppress(OSError):  # it is dead, which its sentinel tells
            self._connection.send((item.source, str(item.output)))

    def result(self) -> Entry | TtscribeError | None:
        """What became of its recording; what keeps every recording from being done; None where the process died."""
        self.item = None
        try:
            said: Entry | TtscribeError = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return None
        return said

    @property
    def death(self) -> str:
        """How the process ended."""
        code = self._process.exitcode or 0
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

    def end(self) -> None:
        """Now, whatever it does."""
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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, plan: Plan) -> None:
    """In the process: recordings come, entries go, until nobody is there any more."""
    logging.getLogger("ttscribe").addHandler(logging.NullHandler())
    try:
        transcriber = ttscribe.load_model(**plan.load)
    except TtscribeError as error:
        connection.send(error)
        return
    with suppress(EOFError, BrokenPipeError):
        while True:
            source, output = connection.recv()
            connection.send(_done(transcriber, source, output, plan))


def _done(transcriber: ttscribe.Transcriber, source: str, output: str, plan: Plan) -> Entry | TtscribeError:
    began = time.perf_counter()
    try:
        with opened(source) as sound:
            segments, info = transcriber.transcribe(sound, **plan.options)
            heard = list(segments)
        write_transcript(Path(output), plan.format_name, heard, info, plan.layout)
    except (AudioError, OutputError) as error:
        return Entry(source, output, " ".join(str(error).split()), version=ttscribe.__version__)
    except TtscribeError as error:
        return error
    except Exception as error:  # noqa: BLE001 - it is told, and costs this recording alone
        said = f"failed in a way that nobody expected: {type(error).__name__}: {error}"
        return Entry(source, output, " ".join(said.split()), version=ttscribe.__version__)
    return Entry(
        source,
        output,
        text=" ".join(segment.text for segment in heard),
        segments=[(segment.start, segment.end, segment.text) for segment in heard],
        language=info.language,
        seconds=info.duration,
        work_seconds=round(time.perf_counter() - began, 3),
        model=info.model,
        device=info.device,
        precision=info.precision,
        version=ttscribe.__version__,
    )
