"""A recording, transcribed by a worker's thread for a request that waits in the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TypeAlias

from fastapi import Request

from ttscribe.errors import TtscribeError
from ttscribe.options import DecodingOptions
from ttscribe.server import problems
from ttscribe.server.log import FIELDS
from ttscribe.server.metrics import Metrics
from ttscribe.server.models import Models
from ttscribe.server.problems import Problem
from ttscribe.server.settings import Limits
from ttscribe.server.work import Job, Work
from ttscribe.types import Segment, Task, TranscriptionInfo

logger = logging.getLogger("ttscribe.server")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be done with a recording; ``model`` is one that ``Models.named`` gave."""

    sound: BinaryIO
    model: str
    task: Task
    language: str | None
    options: DecodingOptions
    words: bool


class Heard(NamedTuple):
    """What comes of a recording, piece by piece: what is known of it first, and then segments."""

    info: TranscriptionInfo
    segment: Segment | None


_Event: TypeAlias = Heard | Problem | None
"""None is the end."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What requests share."""

    models: Models
    work: Work
    limits: Limits
    metrics: Metrics

    async def heard(self, request: Request, wish: Wish) -> AsyncGenerator[Heard, None]:
        """What is known of the recording, and its segments as they come.

        Raises Problem. Where the client goes, or the iterator is closed, the work stops at the end of a window.
        """
        loop, events = asyncio.get_running_loop(), asyncio.Queue[_Event]()
        began, asked = time.monotonic(), time.time_ns()

        def tell(event: _Event) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        def hear(job: Job) -> TranscriptionInfo:
            request.state.trace.part("wait", asked)
            return self._hear(job, wish, tell, began)

        job = self.work.submit(_client(request), lambda job: self._run(job, wish.model, hear, tell, request))
        gone = asyncio.create_task(_gone(request))
        try:
            while (event := await _next(events, gone, began + self.limits.seconds - time.monotonic())) is not None:
                if isinstance(event, Problem):
                    raise event
                yield event
        except TimeoutError:
            raise problems.took_too_long(self.limits.seconds) from None
        finally:
            job.cancel()
            gone.cancel()
        self.metrics.seconds.observe(time.monotonic() - began)

    def _run(
        self,
        job: Job,
        model: str,
        hear: Callable[[Job], TranscriptionInfo],
        tell: Callable[[_Event], None],
        request: Request,
    ) -> None:
        """In a worker's thread: whatever goes wrong is told, and not raised."""
        took, started = time.monotonic(), time.time_ns()
        end: _Event = None
        info: TranscriptionInfo | None = None
        try:
            info = hear(job)
        except Problem as problem:
            end = problem
        except TtscribeError as error:
            end = problems.of(error)
        except Exception:
            # Of a client that has gone the file is closed, perhaps while it was read.
            if not job.is_cancelled:
                logger.exception("failed", extra={FIELDS: {"request": request.state.request_id}})
            end = problems.internal(request.state.request_id)
        # Before the end is told: who has the answer finds its work counted.
        self.metrics.busy.inc(time.monotonic() - took)
        told = ("device", "language", "duration")
        known = {} if info is None else {name: getattr(info, name) for name in told}
        try:
            request.state.trace.part("transcribe", started, model=model, **known)
        finally:
            tell(end)

    def _hear(self, job: Job, wish: Wish, tell: Callable[[_Event], None], began: float) -> TranscriptionInfo:
        """Tell of each segment as it comes. Raises what ``transcribe`` does, and what ``job.check`` does."""
        with self.models.lease(wish.model) as transcriber:
            segments, info = transcriber.transcribe(
                wish.sound,
                task=wish.task,
                language=wish.language,
                word_timestamps=wish.words,
                max_duration=self.limits.duration,
                options=wish.options,
                progress=job.check,
            )
            tell(Heard(info, None))
            for segment in segments:
                if not segment.id:
                    self.metrics.first_text.observe(time.monotonic() - began)
                self.metrics.tokens.inc(len(segment.tokens))
                tell(Heard(info, segment))
                job.check()
        self.metrics.audio.inc(info.duration)
        return info


async def _next(events: asyncio.Queue[_Event], gone: asyncio.Task[None], seconds: float) -> _Event:
    """The next event. Raises TimeoutError after so many seconds, and Problem where the client is ``gone`` before."""
    coming = asyncio.ensure_future(events.get())
    try:
        done, _ = await asyncio.wait({coming, gone}, timeout=max(0, seconds), return_when=asyncio.FIRST_COMPLETED)
        if coming in done:
            return coming.result()
        if gone in done:
            raise problems.gone()
        raise TimeoutError
    finally:
        coming.cancel()


async def _gone(request: Request) -> None:
    """Ends when the client does: after a request's body nothing else comes."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _client(request: Request) -> str:
    """Who is served in turn with others: a key's owner, or an address."""
    return request.headers.get("authorization") or (request.client.host if request.client else "")
