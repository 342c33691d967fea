"""What Prometheus reads at /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ttscribe.devices.provenance import provenance
from ttscribe.server.work import Work

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """Counters of one server, each by a registry of its own, so that two servers may be in a process."""

    def __init__(self, device: str, work: Work) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "ttscribe_requests", "Requests answered.", ("method", "path", "status"), registry=registry
        )
        self.seconds = Histogram(
            "ttscribe_request_seconds",
            "From a transcription's request, read whole, to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.first_text = Histogram(
            "ttscribe_first_text_seconds",
            "From a transcription's request, read whole, to its first segment.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.audio = Counter("ttscribe_audio_seconds", "Seconds of sound transcribed.", registry=registry)
        self.busy = Counter(
            "ttscribe_work_seconds",
            "Seconds in which workers transcribed: over those of sound, the real-time factor.",
            registry=registry,
        )
        self.tokens = Counter("ttscribe_tokens", "Tokens of the segments given.", registry=registry)
        waiting = Gauge("ttscribe_waiting", "Transcriptions that wait for a worker.", registry=registry)
        waiting.set_function(lambda: work.waiting)
        working = Gauge("ttscribe_working", "Transcriptions that a worker has.", registry=registry)
        working.set_function(lambda: work.working)
        info = Gauge(
            "ttscribe_device",
            "The device, and whether its values are measured, emulated or simulated.",
            ("device", "provenance"),
            registry=registry,
        )
        info.labels(device, provenance(device).value).set(1)

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)
