"""The application: routes under OpenAI's names, and what looks after a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.datastructures import State
from starlette.exceptions import HTTPException

import ttscribe
from ttscribe.errors import TtscribeError
from ttscribe.options import DecodingOptions
from ttscribe.server import answers, problems
from ttscribe.server.answers import Granularity, ResponseFormat
from ttscribe.server.guard import Guard
from ttscribe.server.hearing import Hearing, Wish
from ttscribe.server.live import add_live
from ttscribe.server.metrics import Metrics
from ttscribe.server.models import Models
from ttscribe.server.page import add_page
from ttscribe.server.problems import Problem
from ttscribe.server.settings import ServerSettings
from ttscribe.server.tracing import Tracing
from ttscribe.server.work import Work
from ttscribe.types import Segment, Task, TranscriptionInfo

logger = logging.getLogger("ttscribe.server")

_Model = Annotated[str, Form(description="A model of this server, or whisper-1 for its default.")]
_File = Annotated[UploadFile, File(description="The recording: any audio or video file.")]
_Prompt = Annotated[str | None, Form(description="Text before the recording, by which names and style are taken from.")]
_Format = Annotated[ResponseFormat, Form()]
_Temperature = Annotated[
    float, Form(ge=0, le=1, description="0 begins without chance, and tries more where a text is doubted.")
]
_LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def create_app(settings: ServerSettings) -> FastAPI:
    """The application, whose models are loaded and freed with its lifespan.

    ``app.state.failure`` is the TtscribeError for which the default model could not be loaded, if there is one.
    """
    limits = settings.limits
    models = Models(settings.model, limits.models, settings.device, settings.precision)
    work = Work(limits.workers, limits.waiting)
    metrics, tracing = Metrics(settings.device, work), Tracing.from_environment()
    hearing = Hearing(models, work, limits, metrics)
    ready = asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm(models, ready, app.state))
        yield
        # Whoever is being served is served to the end.
        await asyncio.to_thread(work.finish)
        await warming
        await asyncio.to_thread(models.close)
        await asyncio.to_thread(tracing.close)

    app = FastAPI(title="ttscribe", version=ttscribe.__version__, lifespan=lifespan, redoc_url=None, docs_url=None)
    app.state.failure = None
    app.add_middleware(Guard, keys=settings.keys, limits=limits, metrics=metrics, tracing=tracing)
    _tell_problems(app)
    _add_health(app, ready, metrics)
    _add_models(app, models)
    _add_audio(app, hearing, ready)
    add_live(app, models, limits.streams)
    add_page(app)
    return app


async def _warm(models: Models, ready: asyncio.Event, state: State) -> None:
    """Load the default model, and have it hear a second of silence: the first request does not wait for either."""

    def load() -> None:
        with models.lease(models.default) as transcriber:
            segments, _ = transcriber.transcribe(np.zeros(16_000, np.float32), sample_rate=16_000)
            list(segments)

    try:
        await asyncio.to_thread(load)
    except TtscribeError as error:
        state.failure = error
    else:
        ready.set()
        logger.info("ready")


def _tell_problems(app: FastAPI) -> None:
    """Every refusal has OpenAI's form."""

    def told(problem: Problem) -> JSONResponse:
        return JSONResponse(problem.body(), problem.status, problem.headers)

    @app.exception_handler(Problem)
    async def _problem(_request: Request, problem: Problem) -> JSONResponse:
        return told(problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return told(Problem(400, f"{name}: {first['msg']}", param=name))

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        return told(Problem(error.status_code, str(error.detail), headers=dict(error.headers or {})))

    @app.exception_handler(Exception)
    async def _failed(request: Request, _error: Exception) -> JSONResponse:
        return told(problems.internal(request.state.request_id))


def _add_health(app: FastAPI, ready: asyncio.Event, metrics: Metrics) -> None:
    @app.get("/health/live", tags=["health"])
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"], responses={503: {"description": "The model is still being loaded."}})
    async def is_ready() -> dict[str, str]:
        """Whether the default model is loaded and has run."""
        if not ready.is_set():
            raise problems.not_ready()
        return {"status": "ready"}

    @app.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    async def read_metrics() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_models(app: FastAPI, models: Models) -> None:
    def document(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "owned_by": "ttscribe"}

    @app.get("/v1/models", tags=["models"])
    async def list_models() -> dict[str, Any]:
        """The models that may be asked for."""
        return {"object": "list", "data": [document(name) for name in await asyncio.to_thread(models.names)]}

    @app.get("/v1/models/{model:path}", tags=["models"], responses={404: {"description": "It is not here."}})
    async def one_model(model: str) -> dict[str, Any]:
        """One of them."""
        return document(await asyncio.to_thread(models.named, model))


def _add_audio(app: FastAPI, hearing: Hearing, ready: asyncio.Event) -> None:
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"description": text}
        for status, text in {
            400: "The recording or an option cannot be used.",
            401: "The key is wrong.",
            404: "The model is not here.",
            408: "The body stood still.",
            413: "The body is too large.",
            429: "Too many requests wait.",
            503: "The model is still being loaded.",
        }.items()
    }

    async def wish(
        request: Request,
        sound: UploadFile,
        model: str,
        task: Task,
        language: str | None,
        options: DecodingOptions,
        *,
        words: bool,
        known: Sequence[str],
    ) -> Wish:
        if not ready.is_set():
            raise problems.not_ready()
        for name in await request.form():
            if name not in known:
                raise Problem(400, f"{name} is no option of this server: leave it out.", param=name)
        named = await asyncio.to_thread(hearing.models.named, model)
        return Wish(sound.file, named, task, language or None, options, words)

    @app.post("/v1/audio/transcriptions", tags=["audio"], responses=refusals, response_model=None)
    async def transcriptions(
        request: Request,
        file: _File,
        model: _Model,
        language: Annotated[str | None, Form(description="Of the speech, such as de or german; else detected.")] = None,
        prompt: _Prompt = None,
        response_format: _Format = "json",
        temperature: _Temperature = 0.0,
        stream: Annotated[bool, Form(description="Text as it comes, as server-sent events.")] = False,
        timestamp_granularities: Annotated[list[Granularity] | None, Form(alias="timestamp_granularities[]")] = None,
    ) -> Response:
        """What is said in a recording."""
        granularities = timestamp_granularities or ["segment"]
        if timestamp_granularities and response_format != "verbose_json" and not stream:
            raise Problem(400, "timestamp_granularities[] needs response_format verbose_json.", param="response_format")
        if stream and response_format not in ("json", "text"):
            raise Problem(400, "stream gives text: leave response_format out.", param="response_format")
        asked = await wish(
            request,
            file,
            model,
            "transcribe",
            language,
            _options(prompt, temperature),
            words="word" in granularities,
            known=_FIELDS,
        )
        if stream:
            return await _streamed(hearing, request, asked)
        return answers.answer(response_format, *await _whole(hearing, request, asked), granularities)

    @app.post("/v1/audio/translations", tags=["audio"], responses=refusals, response_model=None)
    async def translations(
        request: Request,
        file: _File,
        model: _Model,
        prompt: _Prompt = None,
        response_format: _Format = "json",
        temperature: _Temperature = 0.0,
    ) -> Response:
        """What is said in a recording, in English."""
        asked = await wish(
            request,
            file,
            model,
            "translate",
            None,
            _options(prompt, temperature),
            words=False,
            known=[name for name in _FIELDS if name not in ("language", "stream", "timestamp_granularities[]")],
        )
        return answers.answer(response_format, *await _whole(hearing, request, asked), ["segment"])


_FIELDS = (
    *("file", "model", "language", "prompt", "response_format", "temperature", "stream"),
    "timestamp_granularities[]",
)


def _options(prompt: str | None, temperature: float) -> DecodingOptions:
    """From ``temperature`` on upwards, where a text is doubted."""
    ladder = (temperature, *(step for step in _LADDER if step > temperature))
    return DecodingOptions(temperature=ladder, initial_prompt=prompt or None)


async def _whole(hearing: Hearing, request: Request, wish: Wish) -> tuple[list[Segment], TranscriptionInfo]:
    async with aclosing(hearing.heard(request, wish)) as coming:
        heard = [each async for each in coming]
    return [each.segment for each in heard if each.segment is not None], heard[0].info


async def _streamed(hearing: Hearing, request: Request, wish: Wish) -> StreamingResponse:
    """Events; what is wrong with the recording is still told by the response's status."""
    coming = hearing.heard(request, wish)
    info = (await anext(coming)).info

    async def events() -> AsyncIterator[str]:
        segments: list[Segment] = []
        async with aclosing(coming):
            try:
                async for _, segment in coming:
                    if segment is not None:
                        yield answers.delta(segment, info, first=not segments)
                        segments.append(segment)
            except Problem as problem:
                yield answers.event({"type": "error", **problem.body()})
                return
        yield answers.done(segments, info)

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
