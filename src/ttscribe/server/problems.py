"""What goes wrong, as OpenAI's API says it: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException

from ttscribe.errors import AudioError, DeviceError, ModelNotFound, OptionError, TtscribeError


class Problem(HTTPException):
    """A refusal with its HTTP status.

    One of Starlette's exceptions: FastAPI, which reads a body, would make status 400 of any other.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: str = "invalid_request_error",  # noqa: A002 - the name that it has in OpenAI's API
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.status, self.message, self.type, self.param, self.code = status, message, type, param, code

    def body(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def unauthorised() -> Problem:
    message = "Incorrect API key provided: send one that this server was started with, as 'Authorization: Bearer KEY'."
    return Problem(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def no_such_model(name: str, known: str) -> Problem:
    return Problem(404, f"The model {name!r} is not on this server: it has {known}.", code="model_not_found")


def too_large(most: int) -> Problem:
    return Problem(413, f"The request is larger than the {most} bytes that this server takes.", code="file_too_large")


def too_slow(seconds: float) -> Problem:
    return Problem(408, f"Nothing of the request came for {seconds:g} s.", code="request_timeout")


def took_too_long(seconds: float) -> Problem:
    return Problem(504, f"The transcription was not done after {seconds:g} s.", "server_error", code="timeout")


def gone() -> Problem:
    return Problem(499, "The client has gone.", code="client_closed_request")


def busy(retry_after: int) -> Problem:
    message = f"As many requests wait as may: try again in {retry_after} s."
    headers = {"Retry-After": str(retry_after)}
    return Problem(429, message, "requests", code="rate_limit_exceeded", headers=headers)


def not_ready() -> Problem:
    return Problem(
        503, "The model is still being loaded.", "server_error", code="not_ready", headers={"Retry-After": "2"}
    )


def internal(request_id: str) -> Problem:
    message = f"The server failed; its log has why, under request {request_id}."
    return Problem(500, message, "server_error", code="internal_error")


def of(error: TtscribeError) -> Problem:
    """What one of our errors is to a client."""
    if isinstance(error, ModelNotFound):
        return Problem(404, str(error), code="model_not_found")
    if isinstance(error, AudioError):
        return Problem(400, str(error), param="file", code="invalid_file")
    if isinstance(error, OptionError):
        return Problem(400, str(error))
    if isinstance(error, DeviceError):
        return Problem(503, str(error), "server_error", code="device_unavailable")
    return Problem(500, str(error), "server_error")
