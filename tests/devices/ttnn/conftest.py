import importlib.util
import json
import subprocess
import sys

import pytest

from ttscribe.devices.ttnn.mock import mock_environment


@pytest.fixture
def on_mock():
    """Run Python code in a process with a mock board; it prints JSON as its last line, which is what this gives."""
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")

    def run(code: str, board: str = "n150", **environment: str):
        environment = {**mock_environment(board), **environment}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run
