"""Whisper through the ttnn device, on a mock board: what is loaded, recorded and kept, though no value is computed."""

import json
import subprocess
import sys

import pytest

from ttscribe.compiler.boards import BOARDS
from ttscribe.devices.ttnn.mock import mock_environment
from ttscribe.devices.ttnn.runner import most_windows
from ttscribe.whisper.config import WhisperConfig

# One process for everything: opening, loading and recording take most of its time.
SESSION = """
import json
import numpy as np
import torch
from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.decoding import Picks, RepetitionRules, Rules, TimestampGrammar
from ttscribe.devices import make_runner
from ttscribe.devices.ttnn.device import card
from ttscribe.errors import DeviceUnavailable, OptionError, StateGone
from ttscribe.whisper.checkpoints import load_checkpoint

def refusal(call, *arguments):
    try:
        call(*arguments)
    except (DeviceUnavailable, OptionError, StateGone) as error:
        return type(error).__name__, str(error)

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
runner = make_runner("ttnn:n150", checkpoint.model, "bfp8-mixed", checkpoint.suppress_tokens)
mel, prompt = np.zeros((1, 80, 3000), np.float32), np.array([[50257, 50362]])
found = {"one card": runner.device is device}
first = runner.encode(mel)
found["encoder states"] = list(runner.encoder_states(first).shape)
state = runner.start(first)
found["prefill"] = list(runner.prefill(prompt, state).shape)
calls.clear()
found["step"] = list(runner.decode_step(np.array([1]), np.array([2]), state).shape)
found["calls of a step"] = list(calls)
calls.clear()
rules = Rules.of(checkpoint.suppress_tokens, checkpoint.begin_suppress_tokens, None)
row = Picks([1], [0.0])
runner.greedy([row], 2, state, rules, limit=6, end=-1)
found["picked"] = len(row.tokens), len(row.logprobs)
found["calls of five tokens"] = sorted(set(calls)), calls.count("execute_trace")
found["ledger"] = runner.program("greedy_step").ledger["ttnn.argmax"]
def ran():
    return {name: runner.program(name).ledger["ttnn.plus_one"] for name in ("greedy_step", "timed_step")}
before = ran()
timed = Rules.of(checkpoint.suppress_tokens, (), TimestampGrammar(50363, 50256, 50362, 50))
runner.greedy([Picks([50363, 1], [0.0])], 3, state, timed, limit=6, end=-1)
found["timed"] = {name: count - before[name] for name, count in ran().items()}
before = ran()
repeated = Rules.of(checkpoint.suppress_tokens, (), timed.timestamps, RepetitionRules(1.5, 0, 50256))
runner.greedy([Picks([50363, 1], [0.0])], 3, state, repeated, limit=4, end=-1)
found["repeated"] = {name: count - before[name] for name, count in ran().items()}
calls.clear()
ended = Picks([50363, 50256], [0.0])
runner.greedy([ended], 3, state, timed, limit=6, end=50256)
found["ended"] = len(ended.tokens), calls.count("execute_trace")
found["limits"] = runner.max_batch, runner.max_decodings, runner.concurrent
found["too many windows"] = refusal(runner.encode, np.zeros((33, 80, 3000), np.float32))
found["in place"] = runner.reorder(state, [0]) == state
found["a beam"] = refusal(runner.reorder, state, [0, 0])
before = dram()
calls.clear()
second = runner.start(runner.encode(mel))
runner.prefill(prompt, second)
runner.decode_step(np.array([1]), np.array([2]), second)
found["recorded again"] = "begin_trace_capture" in calls
found["grown"] = dram() - before
found["stale encoder states"] = refusal(runner.start, first)
found["stale encoder states, on the host"] = refusal(runner.encoder_states, first)
found["stale decoder state"] = refusal(runner.decode_step, np.array([1]), np.array([2]), state)
calls.clear()
runner.prefill(np.array([[50257, 50362, 50257]]), second, (0, -1))
found["a longer prompt"] = calls.count("release_trace"), calls.count("begin_trace_capture")
calls.clear()
runner.prefill(np.array([[50257] * 33]), second)
found["another length"] = calls.count("release_trace"), calls.count("begin_trace_capture")
found["progress"] = all(done <= total for done, total in loaded), loaded[-1][0] == loaded[-1][1]
def windows(count):
    # Several on the one chip: what comes back of each, and what was done for it.
    state = runner.start(encoded := runner.encode(np.zeros((count, 80, 3000), np.float32)))
    shapes = [runner.encoder_states(encoded), runner.prefill(np.repeat(prompt, count, 0), state)]
    shapes.append(runner.decode_step(np.arange(count), np.full(count, 2), state))
    calls.clear()
    rows = [Picks([50363], [0.0]) for _ in range(count)]
    runner.greedy(rows, 3, state, timed, limit=6, end=-1)
    picked = [len(row.tokens) for row in rows]
    return [list(each.shape) for each in shapes], picked, calls.count("execute_trace"), "begin_trace_capture" in calls
found["three windows"] = windows(3)
before = dram()
found["two windows"] = windows(2)
found["as much memory"] = dram() - before
found["five windows"] = windows(5)
found["one size"] = sorted(size for name, size in runner._loaded if name == "timed_step" and size)
found["one window"] = windows(1)
spec = next(value.spec for value in runner.program("prefill").program.inputs if value.role.name == "STATE")
joined = device.joined([device.zeros(spec) for _ in range(4)])
found["joined and parted"] = [list(each.shape) for each in (joined, *device.parted(joined))]
graph = capture_program("cross_kv", checkpoint.model)
for name, blocks in {"whole": (), "split": (Block("aten.linear.default", "tried"),)}.items():
    calls.clear()
    compiled = compile_graph(graph, CompileSettings(policy("bf16-hifi3"), blocklist=Blocklist(blocks)))
    params = {param: tensor for param, tensor in compiled.params.items() if tensor is not None}
    loaded_one = device.load(compiled.program, params)
    with device.repeated(loaded_one, [device.zeros(value.spec) for value in compiled.program.inputs]) as again:
        for _ in range(6):
            again()
    found[name] = list(calls), len(compiled.program.host_segments)
runner.close()
runner.close()
found["held for others"] = device.handle is not None
found["closed"] = refusal(runner.encode, mel)
device.leave()
found["left by all"] = device.handle is None
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


def test_logits_and_encoder_states_come_to_the_host_in_their_shape(found):
    assert (found["prefill"], found["step"]) == ([1, 1, 51864], [1, 51864])
    assert found["encoder states"] == [1, 1500, 384]


def test_a_step_writes_its_inputs_on_the_second_queue_and_replays_one_trace(found):
    called = found["calls of a step"]
    assert called.count("execute_trace") == 1
    assert called.count("begin_trace_capture") == 0
    assert called[-1] == "execute_trace"
    assert called.count("wait_for_event") >= 2


def test_tokens_picked_on_the_device_are_one_replay_each(found):
    assert found["picked"] == [6, 6]
    kinds, replays = found["calls of five tokens"]
    assert replays == 5
    assert "begin_trace_capture" not in kinds


def test_a_second_window_records_nothing_and_holds_no_more_memory(found):
    assert not found["recorded again"]
    assert found["grown"] == 0


def test_it_takes_as_many_windows_as_a_tile_has_rows(found):
    assert found["limits"] == [32, 1, False]
    assert found["too many windows"] == ["OptionError", "this device decodes 32 windows at a time, not 33"]


@pytest.mark.parametrize(
    ("count", "named"), [(1, "one window"), (2, "two windows"), (3, "three windows"), (5, "five windows")]
)
def test_a_step_takes_all_windows_of_a_chip(found, count, named):
    shapes, picked, replays, recorded = found[named]
    assert shapes == [[count, 1500, 384], [count, 1, 51864], [count, 51864]]
    assert picked == [6] * count
    # One for each token, whatever the number of windows; the first came with the prompt.
    assert replays == 5
    assert not recorded


def test_caches_are_joined_along_the_first_dimension_and_parted_again(found):
    joined, *parts = found["joined and parted"]
    assert joined[0] == 4
    assert parts == [[1, *joined[1:]]] * 4


def test_steps_of_one_size_serve_fewer_windows_and_make_room_for_more(found):
    assert found["as much memory"] == 0
    assert found["one size"] == [8]


@pytest.mark.parametrize(
    ("size", "board", "most"),
    [("distil-large-v3", "n150", 32), ("large-v3", "n150", 16), ("large-v3", "p150", 32), ("tiny", "n150", 32)],
)
def test_there_are_no_more_windows_than_half_of_the_memory_has_room_for(size, board, most):
    assert most_windows(WhisperConfig.named(size), BOARDS[board]) == most


def test_there_is_no_second_decoding_for_a_beam(found):
    assert found["in place"]
    kind, said = found["a beam"]
    assert kind == "OptionError"
    assert "holds 1 decoding a chip" in said


def test_what_an_earlier_window_left_is_refused(found):
    said = "gone; this card holds 1 decoding at a time, and another has begun since"
    assert found["stale encoder states"] == ["StateGone", f"encoder states: {said}"]
    assert found["stale encoder states, on the host"] == ["StateGone", f"encoder states: {said}"]
    assert found["stale decoder state"] == ["StateGone", f"decoder state: {said}"]


def test_a_prompt_that_fills_no_more_tiles_records_nothing(found):
    assert found["a longer prompt"] == [0, 0]


def test_a_new_length_of_prompt_ends_all_traces_before_it_allocates(found):
    assert found["another length"] == [6, 7]


def test_progress_ends_with_everything_loaded(found):
    assert found["progress"] == [True, True]


def test_the_ledger_counts_what_ran(found):
    # Five tokens, and once to compile it before it is recorded, which runs nothing.
    assert found["ledger"] == 5 + 1


def test_tokens_are_picked_on_the_card_with_timestamps_too(found):
    assert found["timed"] == {"greedy_step": 0, "timed_step": 4}


def test_tokens_are_picked_on_the_host_where_the_device_does_not_know_the_rules(found):
    assert found["repeated"] == {"greedy_step": 0, "timed_step": 0}


def test_a_text_that_has_ended_is_not_gone_on_with(found):
    assert found["ended"] == [2, 0]


def test_a_program_is_repeated_as_a_trace_that_is_gone_afterwards(found):
    calls, segments = found["whole"]
    assert segments == 0
    assert calls == ["begin_trace_capture", *["execute_trace"] * 6, "release_trace"]


def test_a_program_with_a_host_segment_is_repeated_call_by_call(found):
    calls, segments = found["split"]
    assert calls == []
    assert segments > 0


def test_a_closed_model_leaves_the_card_to_others_and_says_so_when_it_is_used(found):
    assert found["held for others"]
    kind, said = found["closed"]
    assert kind == "DeviceUnavailable"
    assert said == "this model was closed, and is on no device any more: load it again"


def test_the_last_to_leave_a_card_closes_it_and_it_can_be_opened_again(found):
    assert found["left by all"]
    assert found["opened again"]


PAIR = """
import json
import numpy as np
import torch
from ttscribe.decoding import Picks, Rules
from ttscribe.devices import make_runner
from ttscribe.errors import OptionError
from ttscribe.whisper.checkpoints import load_checkpoint

def refusal(call, *arguments):
    try:
        call(*arguments)
    except OptionError as error:
        return str(error)

def greedy(rows):
    picked = [Picks([1], [0.0]) for _ in range(rows)]
    runner.greedy(picked, 2, state, Rules.of((), (), None), limit=3, end=-1)
    return [len(row.tokens) for row in picked]

checkpoint = load_checkpoint("tiny.en", offline=True)
found = {}
with make_runner("ttnn:n300x2", checkpoint.model, "bf16-hifi3") as runner:
    device = runner.device
    found["chips"], found["most"] = device.handle.get_num_devices(), runner.max_batch
    for rows in (2, 1, 3):
        state = runner.start(runner.encode(np.zeros((rows, 80, 3000), np.float32)))
        prefilled = runner.prefill(np.array([[50257, 50362]] * rows), state)
        stepped = runner.decode_step(np.full(rows, 1), np.full(rows, 2), state)
        found[str(rows)] = [*prefilled.shape], [*stepped.shape], greedy(rows)
    found["too many"] = refusal(runner.encode, np.zeros((65, 80, 3000), np.float32))

    # One recording: what each chip is given, and whose results are taken, read back as 1 from the first chip and 2.
    given, inner = [], device.host_tensor
    def split(tensor, spec):
        host = inner(tensor, spec)
        given.append([device.library.to_torch(part).float() for part in device.library.get_device_tensors(host)])
        return host
    def read(tensor, dtype):
        rows = [*tensor.shape]
        return torch.cat([torch.full(rows, 1.0), torch.full(rows, 2.0)]).to(dtype)
    device.host_tensor, device.to_host = split, read
    mel, tokens = np.random.default_rng(0).standard_normal((1, 80, 3000), np.float32), np.array([[50257, 50362]])
    state = runner.start(runner.encode(mel))
    results = [runner.prefill(tokens, state), runner.decode_step(np.array([5]), np.array([2]), state)]
    # Each of the logits is the sum of two numbers that were read.
    found["taken"] = [bool((result == 1 + 1).all()) for result in results], [len(result) for result in results]
    row = Picks([7], [0.0])
    runner.greedy([row], 3, state, Rules.of((), (), None), limit=3, end=-1)
    found["picked"] = row.tokens
    filled, rows = torch.nn.functional.pad(torch.from_numpy(tokens), (0, 30)), torch.tensor([1, 1])
    heard = torch.from_numpy(mel).transpose(1, 2).bfloat16()
    expected = [heard, filled, rows, *map(torch.tensor, ([5], [2], [7], [3]))]
    found["given"] = [
        [torch.equal(each.flatten(), wanted.float().flatten()) for each, wanted in zip(both, wanteds, strict=True)]
        for both, wanteds in zip(given, [(one, one if one is rows else one * 0) for one in expected], strict=True)
    ]
    # Three: two on the first chip.
    state = runner.start(runner.encode(np.zeros((3, 80, 3000), np.float32)))
    runner.prefill(np.repeat(tokens, 3, 0), state)
    given.clear()
    stepped = runner.decode_step(np.array([5, 6, 7]), np.array([2, 3, 4]), state)
    found["given of three"] = [[part.flatten().tolist() for part in both] for both in given]
    found["taken of three"] = stepped[:, 0].tolist()
found["closed"] = device.handle is None
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def pair():
    done = subprocess.run(
        [sys.executable, "-c", PAIR], env=mock_environment("n300x2"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_two_chips_of_an_n300_decode_a_window_or_several(pair, rows):
    assert (pair["chips"], pair["most"]) == (2, 64)
    assert pair[str(rows)] == [[rows, 1, 51864], [rows, 51864], [3] * rows]


def test_two_chips_take_32_windows_each(pair):
    assert pair["too many"] == "this device decodes 64 windows at a time, not 65"


def test_of_one_recording_the_second_chip_gets_zeros_and_nothing_of_it_is_taken(pair):
    # Features, the prompt and the rows that are asked for, which both get, then token and position, twice.
    assert pair["given"] == [[True, True]] * 7
    assert pair["taken"] == [[True, True], [1, 1]]
    assert pair["picked"] == [7, 1, 1]


def test_of_three_recordings_each_chip_gets_its_own_and_gives_it_back(pair):
    assert pair["given of three"] == [[[5, 7], [6, 0]], [[2, 4], [3, 0]]]
    assert pair["taken of three"] == [1 + 1, 2 + 2, 1 + 1]


def test_the_end_of_the_block_closes_a_card_that_nobody_else_uses(pair):
    assert pair["closed"]
