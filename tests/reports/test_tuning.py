"""Fallback tuning of a small program, with launches that cost what we say."""

import json
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.cost import program_cost
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.reports import tuning
from ttscribe.reports.constants import HOST_LINK, N150
from ttscribe.reports.kernel_times import kernel_times, total
from ttscribe.reports.measure import differences
from ttscribe.reports.schema import Provenance
from ttscribe.reports.tuning import ALONE, Clock, Trial, blocks, measured, moved, projected, trials

SETTINGS = CompileSettings(policy("bf16-hifi3"))
# A card as cards are, and one whose traces are slow and whose single launches are free.
USUAL = projected(N150)
UPSIDE_DOWN = Clock(lambda compiled: 0.5 if compiled.program.host_segments else 4.0, Provenance.PROJECTED)


class Layers(nn.Module):
    """A matrix product and two softmaxes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 128)

    def forward(self, x):
        return self.linear(x.softmax(-1)).softmax(-1)


@pytest.fixture(scope="module")
def graph():
    module = Layers().eval()
    return capture_method("layers", module, module.forward, {"x": torch.zeros(1, 1, 32, 64)})


@pytest.fixture(scope="module")
def compiled(graph):
    return compile_graph(graph, SETTINGS)


@pytest.fixture(scope="module")
def tried(compiled):
    """Trials by operation, by each of the clocks."""
    return {
        name: {trial.target: trial for trial in trials([compiled], SETTINGS, clock)}
        for name, clock in {"usual": USUAL, "upside down": UPSIDE_DOWN}.items()
    }


def test_every_lowered_operation_is_tried_once_in_its_program(tried):
    assert list(tried["usual"]) == ["aten.linear.default", "aten.softmax.int"]
    assert {trial.program for trial in tried["usual"].values()} == {"layers"}


def test_lowered_wins_where_the_host_costs_launches_and_moves(tried):
    for trial in tried["usual"].values():
        assert 0 < trial.lowered_s < trial.host_s
        assert not trial.better_on_host
    assert blocks(list(tried["usual"].values()), "some-model") == []


def test_the_host_wins_where_only_traces_are_slow(tried):
    for trial in tried["upside down"].values():
        assert trial.better_on_host
        assert trial.lowered_s > 3 > 1 > trial.host_s


def test_a_tie_stays_lowered():
    assert not Trial("layers", "aten.linear.default", 1.0, 1.0, 0, Provenance.PROJECTED).better_on_host


def test_an_operation_on_the_host_moves_its_input_out_and_its_result_back(tried):
    """A matrix in and a wider one out: bfloat16 on the card's side of the link, as it is stored."""
    assert tried["usual"]["aten.linear.default"].moved == 2 * 32 * (64 + 128)


def test_a_program_that_stays_on_the_card_moves_nothing(compiled):
    assert moved(compiled.program) == 0


@pytest.mark.parametrize("overhead", [0.0, 1e-3, 1.0])
def test_single_launches_and_moves_are_what_the_host_costs(graph, compiled, overhead):
    """A product in PyTorch: its input goes out and its result back, and what is left is launched one by one."""
    clock = projected(N150, alone=overhead)
    found = {trial.target: trial for trial in trials([compiled], SETTINGS, clock)}
    trial = found["aten.linear.default"]
    blocked = Blocklist((Block("aten.linear.default", "tried"),))
    remaining = compile_graph(graph, replace(SETTINGS, blocklist=blocked)).program
    launched = program_cost(remaining).device_operations
    costless = projected(N150, alone=0.0)
    free = {each.target: each for each in trials([compiled], SETTINGS, costless)}
    assert trial.host_s == pytest.approx(free["aten.linear.default"].host_s + launched * overhead)
    assert trial.host_s > trial.moved / HOST_LINK.value
    assert trial.lowered_s == clock.seconds(compiled)


def test_a_program_without_a_host_segment_is_launched_from_a_trace(compiled):
    """In the middle of what its kernels add up to."""
    name = compiled.program.name
    least, most = total(kernel_times(compiled.program, N150), [name])
    assert USUAL.seconds(compiled) == projected(N150, alone=1.0).seconds(compiled) == (least + most) / 2


def test_a_launch_alone_costs_what_a_trace_saved_tt_metals_whisper():
    """54.7 t/s/u without and 105 with, 98 operations a step: 89 us each."""
    assert pytest.approx(89.4e-6, rel=1e-3) == ALONE


def test_an_entry_says_why_in_figures(tried):
    entries = {block.op: block for block in blocks(list(tried["upside down"].values()), "some-model")}
    trial = tried["upside down"]["aten.linear.default"]
    entry = entries["aten.linear.default"]
    assert entry.model == "some-model"
    assert entry.reason == (
        f"layers: projected {1e6 * trial.lowered_s:.0f} us lowered, {1e6 * trial.host_s:.0f} in PyTorch"
    )


def test_entries_are_read_back_as_a_blocklist_and_keep_the_operations_on_the_host(tried, graph, tmp_path):
    entries = blocks(list(tried["upside down"].values()), "some-model")
    path = tmp_path / "blocklist.json"
    path.write_text(json.dumps([asdict(entry) for entry in entries]))
    read = Blocklist.read(path, "some-model")
    assert read.blocks == tuple(entries)
    blocked = compile_graph(graph, replace(SETTINGS, blocklist=read)).report.fallbacks
    assert {fallback.target for fallback in blocked} == {entry.op for entry in entries}


def test_entries_are_for_their_model_only(tried, graph):
    entries = tuple(blocks(list(tried["upside down"].values()), "some-model"))
    for_another = replace(SETTINGS, blocklist=Blocklist(entries, "another-model"))
    assert compile_graph(graph, for_another).report.fallbacks == ()


class Stopped(EmulatedDevice):
    """An emulated device and a clock: its programs take as long as we say, and a first run a hundred times as long."""

    def __init__(self, monkeypatch, takes):
        super().__init__()
        self.now, self.takes, self.loads = 0.0, takes, []
        monkeypatch.setattr(tuning.time, "perf_counter", lambda: self.now)

    def load(self, program, params):
        self.loads.append(program)
        return super().load(program, params)

    @contextmanager
    def repeated(self, loaded, inputs):
        runs = iter([100, 3, 1, 1, 1, 9])
        with super().repeated(loaded, inputs) as run:

            def timed():
                run()
                self.now += self.takes(loaded.program) * next(runs)

            yield timed


def test_on_a_device_trials_are_measured_warm(compiled, monkeypatch):
    device = Stopped(monkeypatch, lambda program: 3.0 if program.host_segments else 2.0)
    found = list(trials([compiled], SETTINGS, measured(device)))
    assert [(trial.lowered_s, trial.host_s, trial.provenance) for trial in found] == [
        (2.0, 3.0, Provenance.MEASURED)
    ] * 2
    assert [bool(program.host_segments) for program in device.loads] == [False, True, True]


def test_what_a_device_does_slowly_is_blocked_by_what_was_measured(compiled, monkeypatch):
    device = Stopped(monkeypatch, lambda program: 0.001 if program.host_segments else 0.002)
    entries = blocks(list(trials([compiled], SETTINGS, measured(device))), "some-model")
    assert {entry.op for entry in entries} == {"aten.linear.default", "aten.softmax.int"}
    assert entries[0].reason == "layers: measured 2000 us lowered, 1000 in PyTorch"


def test_every_run_that_is_measured_runs_the_whole_program(compiled):
    device = EmulatedDevice()
    loaded = []
    load = device.load
    device.load = lambda *given: loaded.append(load(*given)) or loaded[-1]
    list(trials([compiled], SETTINGS, measured(device)))
    for each in loaded:
        assert differences(each.program, each.ledger) == []
        assert set(each.ledger.values()) >= {6}
