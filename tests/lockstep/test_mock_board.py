"""TT-NN's host software accepts each call on inputs that are given to it: on a mock board, in a process of its own."""

import importlib.util
import json
import subprocess
import sys

import pytest

from ttscribe.devices.ttnn.mock import mock_environment

pytestmark = pytest.mark.xdist_group("lockstep-mock")

PROGRAM = """
import json, os, sys
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.devices.ttnn.device import TtnnDevice
from ttscribe.lockstep import Opened, compare
from ttscribe.lockstep.workload import Cut, whisper_workloads
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import random_model
from pathlib import Path

small = WhisperConfig(320, 80, 128, 1, 2, 256, 1, 2, 256, 160, 64)
device = Opened("ttnn", TtnnDevice("n150"), float32=False, board="n150")
emulator = Opened("emulator", EmulatedDevice(), float32=False)
told = {}
for each in whisper_workloads(random_model(small), (), sys.argv[2:], CompileSettings(policy("bf16-hifi3"))):
    found = compare(each, device, emulator, folder=Path(sys.argv[1]))
    told[found.program] = [(step.target, step.refused) for step in found.steps]
print(json.dumps(told))
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(autouse=True)
def ttnn_is_installed():
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: pip install 'ttscribe[tt]' on Python 3.10 or 3.12")


def test_every_call_is_accepted_on_inputs_that_are_given_and_so_is_the_script(tmp_path):
    programs = ["encode", "cross_kv", "greedy_step"]
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *programs]
    environment = mock_environment("n150")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert list(told) == programs
    assert [step for steps in told.values() for step in steps if step[1] is not None] == []
    # What a mock board reads back is undefined: something is off, and its script is written. It is accepted too.
    scripts = sorted(tmp_path.glob("*.py"))
    assert scripts
    done = subprocess.run([sys.executable, scripts[0]], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "largest error" in done.stdout
