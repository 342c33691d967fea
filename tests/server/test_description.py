"""The description of the interface, put to the server by a program that makes requests of it: Schemathesis."""

import re
import subprocess
import sys

import pytest

from server.conftest import KEY

pytestmark = pytest.mark.xdist_group("server")
# All but one: a request of the right form is refused where its file is no recording, which no description can tell.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_requests_made_from_it_are_answered_as_it_says(server, tmp_path):
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.address}/openapi.json", "--checks", CHECKS]
    options = ["--header", f"Authorization: Bearer {KEY}", "--max-examples", "5", "--generation-deterministic"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    generated, passed = re.search(r"(\d+) generated, (\d+) passed", done.stdout).groups()
    assert int(generated) == int(passed) > 100
