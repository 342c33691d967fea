"""Whisper through the ttnn device, on a mock board: what is loaded, recorded and kept, though no value is computed."""

import json
import subprocess
import sys

import pytest

from ttscribe.devices.ttnn.mock import mock_environment

# One process for everything: opening, loading and recording take most of its time.
SESSION = """
import json
import torch
from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.compilation import Settings, compile_graph
from ttscribe.compiler.passes import policy
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.devices import make_runner
from ttscribe.devices.ttnn.device import card
from ttscribe.errors import DeviceUnavailable
from ttscribe.reports.tuning import measured
from ttscribe.whisper.checkpoints import load_checkpoint

def refusal(call, *arguments):
    try:
        call(*arguments)
    except DeviceUnavailable as error:
        return str(error)

def dram():
    view = ttnn.get_memory_view(device.handle, ttnn.BufferType.DRAM)
    return view.total_bytes_allocated_per_bank

checkpoint = load_checkpoint("tiny.en", offline=True)
device = card("n150")
ttnn = device.library
loaded = []
device.progress = lambda done, total: loaded.append((done, total))
calls = []
for name in ("begin_trace_capture", "execute_trace", "release_trace", "wait_for_event"):
    def counted(*arguments, name=name, inner=getattr(ttnn, name), **keywords):
        calls.append(name)
        return inner(*arguments, **keywords)
    setattr(ttnn, name, counted)
runner = make_runner("ttnn:n150", checkpoint.model, "bfp8-hifi4", checkpoint.suppress_tokens)
mel, prompt = torch.zeros(1, 80, 3000), torch.tensor([[50257, 50362]])
found = {"one card": runner.device is device}
first = runner.encode(mel)
state = runner.start(first)
found["prefill"] = list(runner.prefill(prompt, state).shape)
calls.clear()
found["step"] = list(runner.decode_step(torch.tensor([1]), torch.tensor([2]), state).shape)
found["calls of a step"] = list(calls)
calls.clear()
found["generated"] = len(runner.generate(1, 3, state, limit=5, end=-1))
found["calls of five tokens"] = sorted(set(calls)), calls.count("execute_trace")
before = dram()
calls.clear()
second = runner.start(runner.encode(mel))
runner.prefill(prompt, second)
runner.decode_step(torch.tensor([1]), torch.tensor([2]), second)
found["recorded again"] = "begin_trace_capture" in calls
found["grown"] = dram() - before
found["stale encoder states"] = refusal(runner.start, first)
found["stale decoder state"] = refusal(runner.decode_step, torch.tensor([1]), torch.tensor([2]), state)
calls.clear()
runner.prefill(torch.tensor([[50257, 50362, 50257]]), second)
found["another length"] = calls.count("release_trace"), calls.count("begin_trace_capture")
found["progress"] = all(done <= total for done, total in loaded), loaded[-1][0] == loaded[-1][1]
found["ledger"] = runner.program("greedy_step").ledger["ttnn.argmax"]
graph = capture_program("cross_kv", checkpoint.model)
clock = measured(device)
for name, blocks in {"whole": (), "split": (Block("aten.linear.default", "tried"),)}.items():
    calls.clear()
    compiled = compile_graph(graph, Settings(policy("bf16-hifi4"), blocklist=Blocklist(blocks)))
    found[name] = clock.seconds(compiled) > 0, list(calls), len(compiled.program.host_segments)
device.close()
device.close()
found["opened again"] = card() is not device
card().close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    done = subprocess.run(
        [sys.executable, "-c", SESSION], env=mock_environment("n150"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


pytestmark = pytest.mark.xdist_group("ttnn-runner")


def test_a_process_has_one_card(found):
    assert found["one card"]


def test_logits_come_to_the_host_in_their_shape(found):
    assert (found["prefill"], found["step"]) == ([1, 2, 51864], [1, 51864])


def test_a_step_writes_its_inputs_on_the_second_queue_and_replays_one_trace(found):
    called = found["calls of a step"]
    assert called.count("execute_trace") == 1
    assert called.count("begin_trace_capture") == 0
    assert called[-1] == "execute_trace"
    assert called.count("wait_for_event") >= 2


def test_tokens_picked_on_the_device_are_one_replay_each(found):
    assert found["generated"] == 5
    kinds, replays = found["calls of five tokens"]
    assert replays == 5
    assert "begin_trace_capture" not in kinds


def test_a_second_window_records_nothing_and_holds_no_more_memory(found):
    assert not found["recorded again"]
    assert found["grown"] == 0


def test_what_an_earlier_window_left_is_refused(found):
    assert "encoder states: gone" in found["stale encoder states"]
    assert "decoder state: gone" in found["stale decoder state"]


def test_a_new_length_of_prompt_ends_all_traces_before_it_allocates(found):
    assert found["another length"] == [4, 4]


def test_progress_ends_with_everything_loaded(found):
    assert found["progress"] == [True, True]


def test_the_ledger_counts_what_ran(found):
    # Five tokens, and once to compile it before each of three recordings, which run nothing.
    assert found["ledger"] == 5 + 3


def test_a_program_is_timed_as_a_trace_that_is_gone_afterwards(found):
    taken, calls, segments = found["whole"]
    assert (taken, segments) == (True, 0)
    assert calls == ["begin_trace_capture", *["execute_trace"] * 6, "release_trace"]


def test_a_program_with_a_host_segment_is_timed_call_by_call(found):
    taken, calls, segments = found["split"]
    assert (taken, calls) == (True, [])
    assert segments > 0


def test_a_closed_card_can_be_opened_again(found):
    assert found["opened again"]


PAIR = """
import json
import torch
from ttscribe.devices import make_runner
from ttscribe.errors import OptionError
from ttscribe.whisper.checkpoints import load_checkpoint

def refusal(call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except OptionError as error:
        return str(error)

checkpoint = load_checkpoint("tiny.en", offline=True)
runner = make_runner("ttnn:n300x2", checkpoint.model, "bf16-hifi4")
state = runner.start(runner.encode(torch.zeros(2, 80, 3000)))
found = {"chips": runner.device.handle.get_num_devices()}
found["prefill"] = list(runner.prefill(torch.tensor([[50257, 50362]] * 2), state).shape)
found["step"] = list(runner.decode_step(torch.tensor([1, 2]), torch.tensor([2, 2]), state).shape)
found["one window"] = refusal(runner.encode, torch.zeros(1, 80, 3000))
found["picked"] = refusal(runner.generate, 1, 3, state, limit=2, end=-1)
runner.device.close()
print(json.dumps(found))
"""


def test_two_chips_of_an_n300_decode_a_window_each():
    done = subprocess.run(
        [sys.executable, "-c", PAIR], env=mock_environment("n300x2"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["chips"] == 2
    assert (found["prefill"], found["step"]) == ([2, 2, 51864], [2, 51864])
    assert found["one window"] == "2 chips take a window each at a time, not 1 in all"
    assert "device of one chip" in found["picked"]
