"""A card is freed however the process that opened it ends."""

import subprocess
import sys

import pytest

from ttscribe.devices.ttnn.mock import mock_environment

OPENED = """
from ttscribe.devices.ttnn.device import card
opened = card("n150")
closing = opened.library.close_device
opened.library.close_device = lambda handle: (closing(handle), print("freed", flush=True))
"""

pytestmark = pytest.mark.xdist_group("ttnn-runner")


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise ValueError('anything')", 1),
        ("raise KeyboardInterrupt", 130),
        ("opened.close()", 0),
    ],
    ids=["end", "exit", "exception", "Ctrl-C", "closed before"],
)
def test_the_card_is_freed_once(ending, status):
    done = subprocess.run(
        [sys.executable, "-c", f"{OPENED}\n{ending}"],
        env=mock_environment("n150"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["freed"]
    assert done.returncode in (status, -2) if status == 130 else done.returncode == status
