"""Times by a clock that only our stand-in moves, and what a ledger is compared with."""

from collections import Counter
from types import SimpleNamespace

import pytest

from reports.by_hand import SECONDS, STAYS, StandIn
from ttscribe.compiler.program import Op, Program, TensorSpec, Value
from ttscribe.reports.measure import Timing, differences, ledger_differences
from ttscribe.reports.schema import Provenance

FIRST_TOKEN = 1.0 + 10 + 20 + 40


@pytest.fixture
def stand_in(monkeypatch):
    return lambda **options: StandIn(monkeypatch, **options)


def test_the_first_token_is_timed_from_the_features_to_its_logits(stand_in):
    assert stand_in().measure().ttft_s == FIRST_TOKEN


@pytest.mark.parametrize("tokens", [1, 3, 9])
def test_no_decode_step_is_in_the_time_to_the_first_token(stand_in, tokens):
    assert stand_in(tokens=tokens).measure().ttft_s == FIRST_TOKEN


@pytest.mark.parametrize("tokens", [1, 3, 9])
def test_the_rate_counts_the_steps_after_the_first_token_and_their_time(stand_in, tokens):
    timing = stand_in(tokens=tokens).measure()
    assert (timing.tokens, timing.steps_s) == (tokens, 100.0 * tokens)
    figures = timing.figures("ttnn:n150")
    assert figures["tsu"].value == figures["ts"].value == pytest.approx(1 / 100)


def test_reading_the_recording_is_in_no_time(stand_in):
    timing = stand_in().measure()
    assert timing.first_run_s + timing.ttft_s + timing.steps_s < SECONDS["load"] * 7


def test_the_cold_run_is_a_figure_of_its_own(stand_in):
    """Seven times as slow, with the first two steps: all that happens before the warm run."""
    stand_in = stand_in()
    timing = stand_in.measure()
    assert timing.first_run_s == 7 * (FIRST_TOKEN + 2 * 100)
    assert stand_in.calls == ["load", "log_mel", "encode", "start", "prefill", "token"] * 2


def test_the_real_time_factor_is_all_warm_work_over_the_recording(stand_in):
    timing = stand_in(tokens=4, seconds=8).measure()
    assert timing.figures("ttnn:n150")["rtf"].value == pytest.approx((FIRST_TOKEN + 400) / 8)


def test_the_first_token_is_the_likeliest_that_may_be_first(stand_in):
    """A timestamp, neither a suppressed one nor the end, and it stands after the prompt."""
    stand_in = stand_in()
    stand_in.measure()
    assert stand_in.decoded == (7, 2, 16 - 2, StandIn.END)


def test_figures_are_measured_in_their_units_on_what_is_named():
    figures = Timing(2.0, 0.25, 2.0, 100, 2.25, 10.0).figures("ttnn:n150")
    assert {name: (figure.value, figure.unit) for name, figure in figures.items()} == {
        "first_run": (2.0, "s"),
        "ttft": (250.0, "ms"),
        "tsu": (50.0, "t/s/u"),
        "ts": (50.0, "t/s"),
        "rtf": (0.225, ""),
    }
    assert {(figure.provenance, figure.source) for figure in figures.values()} == {(Provenance.MEASURED, "ttnn:n150")}


def test_without_a_step_there_is_no_rate(stand_in):
    assert set(stand_in(tokens=0).measure().figures("ttnn:n150")) == {"first_run", "ttft"}


@pytest.mark.parametrize("call", ["log_mel", "encode", "start", "prefill", "token"])
def test_what_goes_wrong_is_not_swallowed(stand_in, call):
    with pytest.raises(RuntimeError, match=f"^{call} went wrong$"):
        stand_in(fails=call).measure()


def test_rates_are_over_all_recordings_and_the_first_token_is_the_median(stand_in, monkeypatch):
    """Recordings of 1, 2 and 12 tokens, whose first takes 71, 81 and 171 s: the mean would be 107.67 s."""
    stand_in, lengths = stand_in(seconds=20), iter([2, 1, 2, 12])
    slower = iter([0, 0, 10, 100])
    greedy, encode = stand_in.greedy, stand_in.encode

    def decodes(*given, **options):
        stand_in.tokens = next(lengths)
        return greedy(*given, **options)

    def encodes(mel):
        stand_in.now += next(slower)
        return encode(mel)

    monkeypatch.setattr(stand_in, "greedy", decodes)
    monkeypatch.setattr(stand_in, "encode", encodes)
    timing = stand_in.measure(recordings=3)
    assert (timing.ttft_s, timing.tokens, timing.steps_s) == (FIRST_TOKEN + 10, 15, 1500)
    assert timing.figures("ttnn:n150")["rtf"].value == pytest.approx((3 * FIRST_TOKEN + 110 + 1500) / 60, abs=1e-4)


def calls(*targets):
    return tuple(Op(target, (), (Value(f"v{index}", TensorSpec((1,))),)) for index, target in enumerate(targets))


PROGRAM = Program("step", (), (), (), (), (*calls("ttnn.add", "ttnn.linear", "ttnn.linear"), STAYS), ())
ONE_RUN = {"ttnn.add": 1, "ttnn.linear": 2, "aten.sort.default": 1}


@pytest.mark.parametrize("runs", [0, 1, 2, 17])
def test_whole_runs_leave_no_difference(runs):
    assert differences(PROGRAM, {target: runs * count for target, count in ONE_RUN.items()}) == []


def test_an_empty_ledger_is_no_run():
    assert differences(PROGRAM, {}) == []


@pytest.mark.parametrize(
    ("target", "ran", "planned"), [("ttnn.add", 4, 3), ("ttnn.linear", 7, 6), ("aten.sort.default", 5, 3)]
)
def test_a_call_too_many_is_told(target, ran, planned):
    ledger = {**{each: 3 * count for each, count in ONE_RUN.items()}, target: ran}
    assert differences(PROGRAM, ledger) == [f"step: {target} ran {ran} times, not {planned} for 3 runs"]


def missing(target):
    """The ledger of three runs, one of which left out a call."""
    ledger = {each: 3 * count for each, count in ONE_RUN.items()}
    return {**ledger, target: ledger[target] - 1}


@pytest.mark.parametrize("target", ONE_RUN)
def test_a_call_missing_does_not_go_unnoticed(target):
    assert any(
        line.startswith(f"step: {each} ran ") for line in differences(PROGRAM, missing(target)) for each in ONE_RUN
    )


@pytest.mark.parametrize("target", ONE_RUN)
def test_of_a_call_missing_that_call_is_told_and_no_other(target):
    ran, planned = missing(target)[target], 3 * ONE_RUN[target]
    expected = [f"step: {target} ran {ran} times, not {planned} for 3 runs"]
    assert differences(PROGRAM, missing(target)) == expected


def test_a_call_that_never_ran_is_told():
    assert differences(PROGRAM, {**ONE_RUN, "ttnn.add": 0}) == ["step: ttnn.add ran 0 times, not 1 for 1 runs"]


@pytest.mark.parametrize("target", ["ttnn.relu", "aten.cumsum.default"])
def test_an_operation_that_was_never_compiled_is_told(target):
    ledger = {**ONE_RUN, target: 1}
    assert differences(PROGRAM, ledger) == [f"step: {target} ran 1 times, not 0 for 1 runs"]


def test_each_program_of_a_runner_is_told_by_its_name():
    loaded = [
        SimpleNamespace(program=PROGRAM, ledger=Counter(ONE_RUN)),
        SimpleNamespace(program=Program("other", (), (), (), (), calls("ttnn.add"), ()), ledger=Counter({"ttnn.x": 2})),
    ]
    runner = SimpleNamespace(loaded_programs=lambda: loaded)
    assert ledger_differences(runner) == ("other: ttnn.x ran 2 times, not 0 for 0 runs",)
