"""``ttscribe serve`` as a process."""

import json
import signal
import socket
import subprocess

import httpx
import pytest

from cli.conftest import COMMAND
from server.conftest import wait_for

pytestmark = pytest.mark.xdist_group("server")
SERVE = (*COMMAND, "serve", "--model", "tiny.en")


def test_it_says_where_it_listens_and_logs_each_request_and_ends_in_order(two_cities):
    with subprocess.Popen([*SERVE, "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        lines = _served(process, two_cities)
        assert process.wait(30) == 0
    (line,) = [line for line in lines if line.get("request") == "mine"]
    assert (line["path"], line["status"], line["level"]) == ("/v1/audio/transcriptions", 200, "info")
    assert line["seconds"] > 0


def _served(process, recording):
    """The log of a server that was asked once, and told to end."""
    said = [process.stderr.readline() for _ in range(2)]
    address = said[0].split()[2].rstrip(";")
    assert said[1].startswith(f"curl {address}/v1/audio/transcriptions -F model=whisper-1 -F file=@")
    wait_for(lambda: httpx.get(f"{address}/health/ready").status_code == 200)
    httpx.post(
        f"{address}/v1/audio/transcriptions",
        files={"file": ("a", recording.read_bytes())},
        data={"model": "whisper-1"},
        headers={"X-Request-Id": "mine"},
        timeout=60,
    )
    process.send_signal(signal.SIGTERM)
    return [json.loads(line) for line in process.stderr]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "0.0.0.0"), "0.0.0.0 can be reached by others: give --api-keys FILE, or --without-key"),
        (("--api-keys", "nowhere"), "nowhere: cannot be read as API keys"),
    ],
)
def test_what_is_unsafe_or_impossible_is_refused_in_a_line(ttscribe, options, said):
    done = ttscribe("serve", "--model", "tiny.en", *options)
    assert done.exit_code == 1
    (refusal,) = done.stderr.splitlines()
    assert refusal.startswith("ttscribe: error: ")
    assert said in refusal


def test_a_model_that_is_not_here_ends_it():
    command = [*COMMAND, "serve", "--model", "nothing", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    *listening, refusal = done.stderr.splitlines()
    assert refusal.startswith("ttscribe: error: ")
    assert "nothing" in refusal
    assert len(listening) in (0, 2)


def test_a_port_that_is_taken_is_told_of():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [*SERVE, "--port", str(taken.getsockname()[1])], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert "choose others by --host and --port" in done.stderr.splitlines()[-1]
