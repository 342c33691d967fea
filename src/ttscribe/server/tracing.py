"""OpenTelemetry's traces of requests, where its packages are installed and an address to send them to is set.

The variables are OpenTelemetry's own: OTEL_EXPORTER_OTLP_ENDPOINT and its like, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER.
A request has a span, a child of the one that its ``traceparent`` names, and in it one for the time that a recording
waits for a worker and one for its transcription.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ttscribe import __version__
from ttscribe.errors import with_extra

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger("ttscribe.server")
ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_FAILED = 500
"""The status from which on the fault is the server's, which is what an error is to a server's span."""


class Tracing:
    """Makes spans and sends them; where it is off, it does nothing."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("ttscribe", __version__)

    @classmethod
    def from_environment(cls) -> Tracing:
        """On where an address is set; where it is, and the packages are missing, a line of the log says so."""
        address = next((name for name in ADDRESSES if os.environ.get(name)), None)
        if address is None:
            return cls()
        try:
            return cls(_provider())
        except ImportError:
            logger.warning("%s is set, and OpenTelemetry is missing: %s", address, with_extra("tracing"))
            return cls()

    def request(self, method: str, headers: Mapping[bytes, bytes], request_id: str) -> RequestTrace:
        """The span of a request, from now on."""
        return RequestTrace(self._tracer, method, headers, request_id)

    def close(self) -> None:
        """Send what is left, and no more."""
        if self._provider is not None:
            self._provider.shutdown()


class RequestTrace:
    """A request's span, and the parts in it."""

    def __init__(self, tracer: Tracer | None, method: str, headers: Mapping[bytes, bytes], request_id: str) -> None:
        self._tracer, self._method = tracer, method
        self._span: Span | None = None
        self._context: Context | None = None
        if tracer is not None:
            from opentelemetry import propagate, trace

            carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
            attributes = {"http.request.method": method, "ttscribe.request.id": request_id}
            parent = propagate.extract(carrier)
            self._span = tracer.start_span(method, parent, trace.SpanKind.SERVER, attributes)
            self._context = trace.set_span_in_context(self._span, parent)

    @property
    def trace_id(self) -> str | None:
        """As W3C's Trace Context writes it."""
        return None if self._span is None else f"{self._span.get_span_context().trace_id:032x}"

    def part(self, name: str, began: int, **attributes: Any) -> None:
        """A part that is over, and began at so many nanoseconds of ``time.time_ns``; what is None is left out."""
        if self._tracer is not None:
            known = {f"ttscribe.{key}": value for key, value in attributes.items() if value is not None}
            self._tracer.start_span(name, self._context, attributes=known, start_time=began).end(time.time_ns())

    def end(self, route: str, status: int) -> None:
        """The request was answered so."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            self._span.update_name(f"{self._method} {route}")
            self._span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= _FAILED:
                self._span.set_status(StatusCode.ERROR)
            self._span.end()


def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "ttscribe"}
    # Closed with the application, not at the process's end.
    provider = TracerProvider(resource=Resource.create({**own, "service.version": __version__}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
