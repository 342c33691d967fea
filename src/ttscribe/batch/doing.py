"""One recording on one worker, and what is asked of workers, wherever they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ttscribe
from ttscribe.batch.index import Entry
from ttscribe.batch.inputs import opened
from ttscribe.errors import AudioError, TtscribeError
from ttscribe.parts import WHOLE
from ttscribe.types import Segment, TranscriptionInfo
from ttscribe.writers import SubtitleLayout


@dataclass(frozen=True, slots=True)
class Item:
    """A recording and the file that its transcript goes to; ``attempts`` are those that a worker did not survive.

    ``part`` is which part of it, and of how many.
    """

    source: str
    output: Path
    attempts: int = 0
    part: tuple[int, int] = WHOLE


@dataclass(frozen=True, slots=True)
class Plan:
    """What workers do with each recording.

    ``load`` are the arguments of ``load_model``, ``options`` those of ``Transcriber.transcribe``; transcripts are
    written as ``format_name`` and ``layout`` say.
    """

    load: dict[str, Any]
    options: dict[str, Any]
    format_name: str
    layout: SubtitleLayout | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a recording, whose transcript is still to be written where there is one."""

    entry: Entry
    segments: Sequence[Segment] = ()
    info: TranscriptionInfo | None = None


class Worker(Protocol):
    """Does a recording at a time. It loads the model with its first one."""

    item: Item | None

    def take(self, item: Item) -> None:
        """Have it done."""

    def result(self) -> Done | TtscribeError | None:
        """What became of its recording; what keeps every recording from being done; None where the worker died."""

    @property
    def death(self) -> str:
        """How the worker ended."""

    def end(self) -> None:
        """Now, whatever it does."""


class Crew(Protocol):
    """Workers of one kind, which all do as ``plan`` says."""

    plan: Plan

    def hire(self) -> Worker:
        """Another worker."""

    def ready(self, busy: Sequence[Any]) -> list[Any]:
        """Those of its own ``busy`` workers that have a result, or are no more; waits for the first."""


class Transcribing:
    """The model of one worker."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._transcriber: ttscribe.Transcriber | None = None

    def do(self, item: Item) -> Done | TtscribeError:
        """A recording, or the part of it that is asked for; the error of a model that cannot be loaded."""
        try:
            if self._transcriber is None:
                self._transcriber = ttscribe.load_model(**self._plan.load)
            return self._done(self._transcriber, item)
        except TtscribeError as error:
            return error
        except Exception as error:  # noqa: BLE001 - it is told, and costs this recording alone
            why = f"failed in a way that nobody expected: {type(error).__name__}: {error}"
            return Done(Entry.failed(item.source, str(item.output), why))

    def _done(self, transcriber: ttscribe.Transcriber, item: Item) -> Done:
        began, source, output = time.perf_counter(), item.source, str(item.output)
        try:
            with opened(source) as sound:
                segments, info = transcriber.transcribe(sound, part=item.part, **self._plan.options)
                heard = list(segments)
        except AudioError as error:
            return Done(Entry.failed(source, output, str(error)))
        entry = Entry.of(
            source,
            output,
            heard,
            language=info.language,
            seconds=info.duration,
            work_seconds=round(time.perf_counter() - began, 3),
            model=info.model,
            device=info.device,
            precision=info.precision,
            version=ttscribe.__version__,
        )
        return Done(entry, heard, info)
