"""Before a request reaches the application: its id, its key, the size and pace of its body; after it: its log line."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from typing import Any

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ttscribe.server.keys import Keys
from ttscribe.server.log import FIELDS
from ttscribe.server.metrics import Metrics
from ttscribe.server.problems import Problem, too_large, too_slow, unauthorised
from ttscribe.server.settings import Limits
from ttscribe.server.tracing import Tracing

logger = logging.getLogger("ttscribe.server")
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_BEARER = b"bearer "
KEPT = "/v1/"
"""What keys are asked for: all else tells nothing of anybody's sound."""


class Guard:
    """An ASGI application around another. A body is counted as it comes: nothing of it is kept here."""

    def __init__(self, app: ASGIApp, keys: Keys | None, limits: Limits, metrics: Metrics, tracing: Tracing) -> None:
        self._app, self._keys, self._limits, self._metrics, self._tracing = app, keys, limits, metrics, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        # An id goes into headers and logs: one with other signs in it is not taken over.
        request_id = given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex
        traced = self._tracing.request(scope["method"], headers, request_id)
        scope.setdefault("state", {}).update(request_id=request_id, trace=traced)
        answered = _Answered(send, request_id)
        began = time.monotonic()
        try:
            self._require_key(scope["path"], headers)
            self._require_length(headers)
            body = _Body(receive, self._limits)
            await self._app(scope, body.receive, answered.send)
        except Problem as problem:
            await JSONResponse(problem.body(), problem.status, problem.headers)(scope, receive, answered.send)
        finally:
            # The route's pattern where there is one: paths that nobody serves would be labels without end.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(scope["method"], route, answered.status).inc()
            traced.end(route, answered.status)
            _log(scope, answered.status, time.monotonic() - began)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket, which is refused with status 403 where its key is wrong."""
        try:
            self._require_key(scope["path"], dict(scope["headers"]))
        except Problem as problem:
            await send({"type": "websocket.close", "code": 1008, "reason": problem.message[:120]})
            return
        await self._app(scope, receive, send)

    def _require_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._keys is None or not path.startswith(KEPT):
            return
        given = headers.get(b"authorization", b"")
        key = given[len(_BEARER) :] if given[: len(_BEARER)].lower() == _BEARER else b""
        if not self._keys.accept(key.decode("latin-1").strip()):
            raise unauthorised()

    def _require_length(self, headers: dict[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limits.upload:
            raise too_large(self._limits.upload)


def _log(scope: Scope, status: int, seconds: float) -> None:
    state = scope["state"]
    line = {
        "request": state["request_id"],
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "seconds": round(seconds, 3),
        "client": (scope.get("client") or ("",))[0],
    }
    if state["trace"].trace_id is not None:
        line["trace"] = state["trace"].trace_id
    logger.info("answered", extra={FIELDS: line})


class _Answered:
    """Sends on, with the request's id among the headers, and knows the status; 499 where nothing was answered."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.status = 499
        self._send, self._id = send, request_id.encode()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self._id)]}
        await self._send(message)


class _Body:
    """A request's body, whose size and pauses are limited."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self._size, self._whole = 0, False

    async def receive(self) -> Any:
        """The next message. Raises Problem for a body that is too large or stands still."""
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._limits.pause)
        except (TimeoutError, asyncio.TimeoutError):
            raise too_slow(self._limits.pause) from None
        self._size += len(message.get("body", b""))
        if self._size > self._limits.upload:
            raise too_large(self._limits.upload)
        self._whole = not message.get("more_body", False)
        return message
