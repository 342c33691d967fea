"""What is accepted of candidates, how they are timed, and what is chosen."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ttscribe.check import CheckReport, Finding, Kind, check_programs
from ttscribe.check.programs import checkable
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.tuned import FORMAT, Tuned
from ttscribe.compiler.verify import verify
from ttscribe.devices.provenance import Provenance
from ttscribe.devices.ttnn.mock import mock_environment
from ttscribe.errors import CallRefused, CompileError
from ttscribe.tune import Clock, measured, projected, search, tune
from ttscribe.tune.search import alone, kinds_of
from tune.products import linear

N150 = BOARDS["n150"]


class FeedForward(nn.Module):
    """Two products alike, and one that is not."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Linear(width, 4 * width), nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.narrow(self.first(x) + self.second(x))


def compiled_for(board, width=384, tuned=None):
    module = FeedForward(width).eval()
    captured = capture_method("feed_forward", module, module.forward, {"x": torch.zeros(1, 1, 1500, width)})
    return compile_graph(captured, CompileSettings(policy("bfp8-hifi3"), board, tuned=tuned or Tuned()))


@pytest.fixture(scope="module")
def small():
    return checkable(compiled_for(N150))


def test_calls_that_are_alike_are_one_kind(small):
    kinds = kinds_of([small.program, small.program], N150)
    assert sorted(kind.times for kind in kinds) == [2, 4]
    assert all(kind.call.startswith("ttnn.linear(bfloat16[1, 1, 1500, ") for kind in kinds)
    assert all({*kind.op.inputs} == {*kind.specs} for kind in kinds)


@pytest.mark.parametrize("board", ["n150", "p150"])
def test_the_cost_model_does_not_tell_candidates_apart_and_nothing_is_changed(board, mock_board):
    """Yet it is known what TT-NN takes."""
    described = BOARDS[board]
    found = tune([checkable(compiled_for(described))], described, projected(described))
    assert (found.format, found.board) == (FORMAT, board)
    for call in found.calls:
        assert call.provenance == "projected"
        assert 1 <= len(call.accepted) <= call.tried
        assert {each.seconds for each in call.accepted} == {call.present_s}
        assert call.chosen is None


def test_what_does_not_fit_beside_the_rest_is_refused(mock_board):
    """Of a wide product with sums of 32 bits not every sharing fits into L1."""
    found = tune([checkable(compiled_for(N150, width=1280))], N150, projected(N150))
    assert any(call.refused for call in found.calls)
    assert all(call.accepted for call in found.calls)


def test_the_fastest_on_a_card_is_chosen_and_the_program_with_it_is_accepted(small, card, mock_board):
    def costs(op):
        config = op.attribute("program_config")
        return 1.0 if config is None else 0.1 * config["per_core_M"]

    stand_in = card(costs)
    found = tune([small], N150, measured(stand_in))
    for call in found.calls:
        assert (call.provenance, call.present_s) == ("measured", 1.0)
        rows = [each.configuration.per_core_M for each in call.accepted]
        assert rows == sorted(rows)
        assert call.chosen == call.accepted[0].configuration
    # Each time as many calls in a row: one run that compiles, and five that count.
    (together,) = stand_in.runs
    timed = len(found.calls) + sum(len(call.accepted) for call in found.calls)
    assert (together, stand_in.runs[together]) == (16, 6 * timed)

    tuned = checkable(compiled_for(N150, tuned=Tuned.of(found.calls)))
    configured = [op.attribute("program_config") for op in tuned.program.ops if op.target == "ttnn.linear"]
    assert len(configured) == 3
    assert all(configured)
    assert check_programs([tuned], "n150").accepted


@pytest.fixture
def all_accepted(monkeypatch):
    """A mock board that takes everything, at once."""
    report = CheckReport("n150", "0.81.1", "bfp8-hifi3", 1, 1, (), ())
    monkeypatch.setattr(search, "check_programs", lambda programs, board: report)


def test_less_than_two_percent_is_no_gain(small, all_accepted):
    def clock(gain):
        return Clock(lambda op, specs: 1.0 - gain * bool(op.attribute("program_config")), Provenance.MEASURED)

    assert all(call.chosen is None for call in tune([small], N150, clock(0.019)).calls)
    assert all(call.chosen is not None for call in tune([small], N150, clock(0.021)).calls)


def test_what_a_card_refuses_is_not_accepted(small, all_accepted, card):
    def costs(op):
        config = op.attribute("program_config")
        if config is not None and config.kind.endswith("1DProgramConfig"):
            raise CallRefused("feed_forward, step 3: too large")
        return 1.0

    for call in tune([small], N150, measured(card(costs))).calls:
        assert 0 < len(call.accepted) < call.tried
        assert {each.configuration.shared for each in call.accepted} <= {"blocks", "transposed blocks"}


def test_each_call_is_told_as_it_is_timed(small, all_accepted):
    told = []
    found = tune([small], N150, projected(N150), told.append)
    assert told == [call.call for call in found.calls]


def test_findings_of_other_calls_refuse_nothing_and_one_at_load_everything(small, monkeypatch):
    def report(step):
        def check(programs, board):
            finding = Finding(programs[0].program.name, step, Kind.NOT_LOADED, "weights", "out of memory")
            return CheckReport(board, "0.81.1", "bfp8-hifi3", 1, 1, (), (finding,))

        return check

    norms = [step for step, op in enumerate(small.program.body) if op.target == "ttnn.add"]
    monkeypatch.setattr(search, "check_programs", report(norms[0]))
    assert not any(call.refused for call in tune([small], N150, projected(N150)).calls)
    monkeypatch.setattr(search, "check_programs", report(-1))
    with pytest.raises(CompileError, match="nothing can be tuned: feed_forward, candidate 0, at load, not_loaded"):
        tune([small], N150, projected(N150))


def test_a_call_alone_frees_what_it_makes():
    op, specs = linear(1500, 384, 384)
    program = alone(op, specs, 3)
    verify(program)
    assert [step.target for step in program.body] == ["ttnn.linear", "ttnn.deallocate"] * 3
    assert {value.name: value.spec for value in program.inputs} == specs


TIMES = """
import sys
sys.path.append(sys.argv[1])
from ttscribe.compiler.program import DRAM
from ttscribe.compiler.tuned import Configuration, configured
from ttscribe.devices.ttnn.device import TtnnDevice
from ttscribe.tune import measured
from tune.products import linear
with TtnnDevice("n150") as device:
    clock, (op, specs) = measured(device), linear(1500, 1280, 5120, memory=DRAM, memory_config=None)
    for shared, rows, columns in (("blocks", 6, 20), ("rows", 1, 160)):
        config = Configuration(shared, (8, 8), 4, 1, 4, rows, columns).config(None)
        print("seconds", clock.seconds(configured(op, config), specs))
"""


def test_a_call_is_timed_as_a_trace_on_a_card_and_one_that_does_not_fit_is_none(mock_board):
    """On a mock one, where it takes no time worth the name."""
    tests = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", TIMES, str(tests)]
    told = subprocess.run(command, env=mock_environment("n150"), capture_output=True, text=True, check=True)
    # Between them TT-NN logs what it refuses.
    fits, too_large = (line.split()[1] for line in told.stdout.splitlines() if line.startswith("seconds "))
    assert float(fits) > 0
    assert too_large == "None"
