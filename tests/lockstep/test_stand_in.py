"""A library that errs on purpose: the operation is found, kept, and reproduced by the script that is written."""

import ast
import os
import subprocess
import sys

import pytest

from compiler.building import TINY
from standing_in import FOLDER
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.lockstep import Opened, compare, opened
from ttscribe.lockstep.workload import whisper_workloads
from ttscribe.whisper.model import random_model

EMULATOR = Opened("emulator", EmulatedDevice(), float32=False)


@pytest.fixture(scope="module")
def encode():
    (workload,) = whisper_workloads(random_model(TINY), (), ["encode"], CompileSettings(policy("bf16-hifi3")))
    return workload


@pytest.fixture
def simulated(stand_in, encode, tmp_path):
    """Compare on the stand-in's simulator, with faults in the operations of these names."""

    def run(monkeypatch, errs=""):
        monkeypatch.setenv("TTNN_STAND_IN_ERRS", errs)
        with opened("ttnn", "bf16-hifi3") as device:
            return compare(encode, device, EMULATOR, folder=tmp_path / "kept", tolerance=0.02)

    return run


def reproduced(script, errs=""):
    """What the script prints when it is run with the stand-in library and nothing of ours."""
    environment = {**os.environ, "PYTHONPATH": str(FOLDER), "TTNN_STAND_IN_ERRS": errs}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_library_that_computes_what_the_emulator_does_is_not_off(simulated, monkeypatch):
    found = simulated(monkeypatch)
    assert found.agrees, found.verdict
    assert (found.device, found.reference) == ("ttnn (simulated)", "emulator (emulated)")
    assert all(each.alone is not None and each.end_to_end is not None for each in found.steps)
    # A simulator has no time.
    assert {each.seconds for each in found.steps} == {None}
    assert all(each.reference_seconds > 0 for each in found.steps)


def test_a_table_in_place_of_gelu_is_found_in_the_first_convolution_and_reproduced(simulated, monkeypatch):
    found = simulated(monkeypatch, "conv1d")
    assert (found.first_off.step, found.first_off.target) == (0, "ttnn.conv1d")
    assert found.kept.script.name == "encode-0-conv1d.py"
    wrong, right = reproduced(found.kept.script, "conv1d"), reproduced(found.kept.script)
    name = found.first_off.results[0]
    assert wrong.startswith(f"{name}: correlation 0.99")
    largest = [float(said.split("largest error ")[1].split(",")[0]) for said in (wrong, right)]
    assert 0.01 < largest[0] < 0.05
    assert largest[1] < largest[0] / 2


def test_the_script_needs_nothing_of_ours(simulated, monkeypatch):
    tree = ast.parse(simulated(monkeypatch, "conv1d").kept.script.read_text())
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    parts = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert plain | parts == {"pathlib", "sys", "torch", "ttnn", "safetensors.torch"}


def test_a_call_that_the_library_refuses_is_told_with_what_it_says(simulated, monkeypatch):
    found = simulated(monkeypatch, "add")
    assert found.first_off.target == "ttnn.add"
    assert found.verdict.endswith("Shapes cannot be added (a == b)")
    assert found.kept.script.exists()
