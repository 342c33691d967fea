"""The simulator as a device: what it needs, what it cannot do, and which word its values carry.

There is none here: environment variables, a stand-in for the library, and TT-NN's host software with slow dispatch.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

from devices.conftest import SMALL
from standing_in import stand_in_simulator
from ttscribe.cli.transcribe import _summary
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.devices import make_runner
from ttscribe.devices.provenance import Provenance, provenance
from ttscribe.devices.ttnn import compiler, simulator
from ttscribe.devices.ttnn.device import TtnnDevice
from ttscribe.devices.ttnn.mock import mock_environment
from ttscribe.devices.ttnn.runner import TtnnRunner
from ttscribe.errors import DeviceUnavailable
from ttscribe.reports.measure import measure
from ttscribe.types import TranscriptionInfo


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    return stand_in_simulator(monkeypatch, tmp_path)


@pytest.fixture
def unset(monkeypatch):
    """No simulator, and ttnn not imported yet."""
    for name in ("TT_METAL_SIMULATOR", "TT_METAL_RUNTIME_ROOT", "TT_METAL_SLOW_DISPATCH_MODE"):
        # Set first: what the test has set is then taken away again, too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "ttnn", raising=False)


def test_slow_dispatch_is_set_where_it_is_not(unset):
    simulator.dispatch_slowly()
    assert simulator.slow_dispatch()


def test_where_ttnn_is_imported_already_slow_dispatch_is_asked_for_in_one_line(unset, monkeypatch):
    monkeypatch.setitem(sys.modules, "ttnn", object())
    with pytest.raises(DeviceUnavailable, match=r"TT_METAL_SLOW_DISPATCH_MODE=1 was set.*start again") as refused:
        simulator.dispatch_slowly()
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("TT_METAL_SLOW_DISPATCH_MODE", "1")
    simulator.dispatch_slowly()


def test_the_compiler_is_looked_for_where_ttnn_looks(unset, monkeypatch, tmp_path):
    monkeypatch.setattr(compiler, "SYSTEM", tmp_path / "system")
    assert compiler.places()[0].parts[-3:] == ("ttnn", "runtime", "sfpi")
    monkeypatch.setenv("TT_METAL_RUNTIME_ROOT", str(tmp_path / "root"))
    assert compiler.places() == (tmp_path / "root" / "runtime" / "sfpi", tmp_path / "system")
    assert compiler.find() is None
    for place in (tmp_path / "system", tmp_path / "root" / "runtime" / "sfpi"):
        (place / "compiler" / "bin").mkdir(parents=True)
        assert compiler.find() != place
        (place / "compiler" / "bin" / "riscv-tt-elf-g++").touch()
        assert compiler.find() == place


def test_a_missing_compiler_is_told_with_where_it_was_looked_for(unset, monkeypatch, tmp_path):
    monkeypatch.setattr(compiler, "SYSTEM", tmp_path / "system")
    monkeypatch.setenv("TT_METAL_RUNTIME_ROOT", str(tmp_path))
    with pytest.raises(DeviceUnavailable, match=r"looked for in .*runtime/sfpi or .*system\): .*ttnn.download_sfpi"):
        compiler.require()


def test_it_opens_with_one_queue_and_no_region_for_traces(stand_in):
    with TtnnDevice():
        assert stand_in.opened_with == {"l1_small_size": 16384, "num_command_queues": 1}


def test_a_run_that_is_repeated_is_called_again_and_not_traced(stand_in, small_model):
    with TtnnDevice() as device:
        runner = TtnnRunner(small_model, device, CompileSettings(policy("bf16-hifi3")))
        loaded = runner.program("encode")
        inputs = [device.zeros(value.spec) for value in loaded.program.inputs]
        with device.repeated(loaded, inputs) as again:
            again()
            again()
        assert loaded.ledger["ttnn.conv1d"] == 4


def test_a_window_runs_call_by_call_with_the_emulators_values(stand_in, small_model):
    """Encoder states go to cross_kv: with them, the state that a decode step reads."""
    with TtnnDevice() as device:
        runner = TtnnRunner(small_model, device, CompileSettings(policy("bf16-hifi3")))
        runner._tensors.clear()
        mel = np.random.default_rng(0).standard_normal((2, 1, SMALL.num_mel_bins, SMALL.mel_frames), np.float32)
        emulated = make_runner("emulator", small_model, "bf16-hifi3")
        for window in mel:
            runner.encode(window)
            (states,) = runner._traces[runner._key("encode")].outputs
            (theirs,) = emulated.encode(window)
            torch.testing.assert_close(device.to_host(states, torch.float32), theirs.data, rtol=0.05, atol=0.1)
            handed = runner._tensors[runner._key("cross_kv"), "encoder_states"]
            assert handed is states


def test_its_values_are_simulated_and_a_cards_measured(stand_in, monkeypatch):
    assert provenance("ttnn:n150") is Provenance.SIMULATED
    assert provenance("emulator") is Provenance.EMULATED
    assert provenance("cpu") is Provenance.MEASURED
    monkeypatch.delenv("TT_METAL_SIMULATOR")
    assert provenance("ttnn:n150") is Provenance.MEASURED


def test_nothing_is_timed_on_it(stand_in, small_model):
    with TtnnDevice() as device:
        runner = TtnnRunner(small_model, device, CompileSettings(policy("bf16-hifi3")))
        with pytest.raises(DeviceUnavailable, match="a simulator has values and no time, so nothing is timed on it"):
            measure(runner, None, ())


def test_a_transcript_of_it_tells_no_speed(stand_in):
    info = TranscriptionInfo("tiny.en", "ttnn", "bf16-hifi3", "transcribe", "en", 1.0, 2.0)
    assert _summary(info, 99.0, None) == "2.0 s of audio, model tiny.en, ttnn, bf16-hifi3; simulated: no time is told"


SLOWLY = """
import os, sys
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.devices.ttnn.device import TtnnDevice
from ttscribe.devices.ttnn.runner import TtnnRunner
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import random_model
import numpy as np

small = WhisperConfig(320, 80, 128, 1, 2, 256, 1, 2, 256, 160, 64)
device = TtnnDevice("n150")
try:
    device.library.begin_trace_capture = device.library.record_event = None
    runner = TtnnRunner(random_model(small), device, CompileSettings(policy("bf16-hifi3")))
    state = runner.start(runner.encode(np.zeros((1, 80, 320), np.float32)))
    runner.prefill(np.array([[1, 2]]), state)
    runner.decode_step(np.array([3]), np.array([2]), state)
    print(sorted(loaded.program.name for loaded in runner.loaded_programs() if sum(loaded.ledger.values())))
    sys.stdout.flush()
finally:
    os._exit(0)
"""


def test_ttnns_host_software_takes_a_window_by_slow_dispatch():
    environment = {**mock_environment("n150"), "TT_METAL_SLOW_DISPATCH_MODE": "1"}
    done = subprocess.run([sys.executable, "-c", SLOWLY], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["['cross_kv', 'decode_step', 'encode', 'prefill']"], done.stderr
