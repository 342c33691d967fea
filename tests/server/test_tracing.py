"""Traces, as OpenTelemetry's own exporter sends them to a collector that stands in for one."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from server.conftest import running

WITHOUT = "the extra tracing is not installed: make env"
pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter", reason=WITHOUT)
proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason=WITHOUT)
pytestmark = pytest.mark.xdist_group("server")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(BaseHTTPRequestHandler):
    """Keeps what is posted in ``server.received``."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers.get("Content-Encoding") is None
        self.server.received.append((self.path, proto.ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.received = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def spans(collector):
    """Those that were sent, by name, and what all of them are of."""
    found, resources = {}, []
    for path, request in collector.received:
        assert path == "/v1/traces"
        for of_resource in request.resource_spans:
            resources.append(attributes(of_resource.resource))
            found.update({span.name: span for scope in of_resource.scope_spans for span in scope.spans})
    return found, resources


def attributes(of):
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def post(server, recording, **headers):
    with recording.open("rb") as file:
        return httpx.post(
            f"{server.address}/v1/audio/transcriptions",
            files={"file": file},
            data={"model": "whisper-1"},
            headers=headers,
            timeout=60,
        )


def test_a_request_is_traced_from_its_caller_to_its_transcription(collector, beckett):
    with running(keys=()) as server:
        server.wait_until_ready()
        given = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "mine-1"}
        assert post(server, beckett, **given).status_code == 200
    found, resources = spans(collector)
    request = found["POST /v1/audio/transcriptions"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert request.kind == request.SPAN_KIND_SERVER
    told = attributes(request)
    assert (told["http.response.status_code"], told["ttscribe.request.id"]) == (200, "mine-1")
    wait, transcribe = found["wait"], found["transcribe"]
    for part in (wait, transcribe):
        assert (part.trace_id, part.parent_span_id) == (request.trace_id, request.span_id)
        assert request.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
    assert wait.end_time_unix_nano <= transcribe.end_time_unix_nano <= request.end_time_unix_nano
    assert transcribe.end_time_unix_nano - transcribe.start_time_unix_nano > 1e7
    told = attributes(transcribe)
    assert (told["ttscribe.model"], told["ttscribe.device"], told["ttscribe.language"]) == ("tiny.en", "cpu", "en")
    assert told["ttscribe.duration"] == pytest.approx(9.9, abs=2)
    assert {resource["service.name"] for resource in resources} == {"ttscribe"}


def test_a_fault_of_the_server_is_an_error_and_one_of_the_client_is_none(collector, beckett, monkeypatch):
    with running(keys=()) as server:
        server.wait_until_ready()
        assert httpx.get(f"{server.address}/v1/models/nothing").status_code == 404
        monkeypatch.setattr("ttscribe.Transcriber.transcribe", lambda *_, **__: 1 / 0)
        assert post(server, beckett).status_code == 500
    found, _ = spans(collector)
    assert found["POST /v1/audio/transcriptions"].status.code == 2
    (other,) = (span for name, span in found.items() if name.startswith("GET /v1/models/"))
    assert other.status.code == 0
    assert attributes(other)["http.response.status_code"] == 404


def test_the_log_has_the_trace_of_each_request(collector, caplog):
    with caplog.at_level("INFO", "ttscribe.server"), running(keys=()) as server:
        httpx.get(f"{server.address}/health/live", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        server.wait_until_ready()
    lines = [record.fields for record in caplog.records if record.message == "answered"]
    assert lines[0]["trace"] == TRACE


def test_without_an_address_nothing_is_traced(monkeypatch, caplog):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with caplog.at_level("INFO", "ttscribe.server"), running(keys=()) as server:
        server.wait_until_ready()
    assert all("trace" not in record.fields for record in caplog.records if record.message == "answered")


def test_without_the_packages_the_log_says_what_to_install(collector, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with running(keys=()) as server:
        server.wait_until_ready()
    (line,) = (record.message for record in caplog.records if "OpenTelemetry" in record.message)
    assert line.startswith("OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is missing: install ttscribe with")
    assert collector.received == []
