"""Published models at their true shapes, through TT-NN's own host software on mock boards.

With TTSCRIBE_CHECK=all (make check-sizes) base too, large-v3, whose 32 decoder layers are one layer many times over,
large-v3-turbo, which has distil-large-v3's encoder, and bfloat8_b weights on every board.
"""

import os
from functools import cache

import pytest

from sizes import captured
from ttscribe.check import check_programs
from ttscribe.check.programs import checkable
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.cost import program_cost
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

POLICIES = ("bf16-hifi3", "bfp8-mixed")
# A hand-written program of distil-large-v3, counted and measured on the mock n150, its weights bfloat8_b.
OPERATIONS_BY_HAND = {"encode": 364, "cross_kv": 12, "greedy_step": 52}
# Of a step only: in its encoder sums have 16 bits, and so smaller buffers than ours.
PEAK_L1_BY_HAND = 692_224
# Device operations of the token's probability, which the program by hand does not give: logits moved into 32 rows, the
# largest of each and of them, differences and exponentials, their sums, the reciprocal.
PROBABILITY = 10
# Moves that spread a row over cores, which the program by hand does not do: queries, keys and values of both layers
# come back together, cross attention's queries and heads come back and go there, and the last norm comes back.
SPREADING = 7
# Two minutes: what a person waits for without wondering.
PATIENCE = 120

CHECKS = [
    *(("distil-large-v3", "bf16-hifi3", board) for board in BOARDS),
    ("distil-large-v3", "bfp8-mixed", "n150"),
    *(("tiny.en", precision, "n150") for precision in POLICIES),
]
if os.environ.get("TTSCRIBE_CHECK") == "all":
    CHECKS += [*(("base", precision, "n150") for precision in POLICIES), ("large-v3", "bfp8-mixed", "n150")]
    CHECKS += [("large-v3-turbo", precision, "n150") for precision in POLICIES]
    CHECKS += [("distil-large-v3", "bfp8-mixed", board) for board in BOARDS if board != "n150"]


def group(size):
    """Tests of one size run in one process, which captures its programs once."""
    return pytest.mark.xdist_group(size)


every_check = pytest.mark.parametrize(
    ("size", "precision", "board"), [pytest.param(*check, marks=group(check[0])) for check in CHECKS]
)


@cache
def compiled(size, precision, board):
    settings = CompileSettings(policy(precision), BOARDS[board])
    return [checkable(compile_graph(graph, settings)) for graph in captured(size).values()]


@cache
def checked(size, precision, board):
    return check_programs(compiled(size, precision, board), board)


@pytest.fixture
def by_name():
    """What the check says of each program of distil-large-v3 on n150."""
    return {program.program: program for program in checked("distil-large-v3", "bfp8-mixed", "n150").programs}


@every_check
def test_every_call_is_accepted_and_everything_fits(size, precision, board):
    report = checked(size, precision, board)
    assert report.findings == ()
    assert report.accepted


@pytest.mark.parametrize(
    ("size", "precision", "board", "windows"),
    [
        pytest.param("distil-large-v3", "bfp8-mixed", "n150", 32, marks=group("distil-large-v3")),
        pytest.param("distil-large-v3", "bf16-hifi3", "p150", 32, marks=group("distil-large-v3")),
        pytest.param("tiny.en", "bf16-hifi3", "n300", 2, marks=group("tiny.en")),
    ],
)
def test_steps_of_several_windows_are_accepted_and_launch_what_our_table_says(size, precision, board, windows):
    settings, model = CompileSettings(policy(precision), BOARDS[board]), shape_only_model(SIZES[size])
    graphs = [capture_program(name, model, batch=windows, suppress=(1,)) for name in ("timed_step", "decode_step")]
    programs = [checkable(compile_graph(graph, settings)) for graph in graphs]
    report = check_programs(programs, board)
    assert report.findings == ()
    assert report.accepted
    launched = [program.launches for program in report.programs]
    assert launched == [program_cost(each.program).device_operations for each in programs]


@every_check
def test_tt_nn_launches_what_our_table_says(size, precision, board):
    launched = {program.program: program.launches for program in checked(size, precision, board).programs}
    programs = [each.program for each in compiled(size, precision, board)]
    assert launched == {program.name: program_cost(program).device_operations for program in programs}


@every_check
def test_weights_and_state_leave_dram_to_spare(size, precision, board):
    report = checked(size, precision, board)
    assert 0 < report.programs[-1].dram_held < report.dram


@every_check
def test_peak_l1_is_within_a_core(size, precision, board):
    report = checked(size, precision, board)
    assert all(0 < program.peak_l1 <= report.l1 for program in report.programs)


@every_check
def test_a_check_takes_less_than_two_minutes(size, precision, board):
    assert sum(program.seconds for program in checked(size, precision, board).programs) < PATIENCE


@group("distil-large-v3")
def test_fewer_operations_are_launched_than_by_hand(by_name):
    launches = {name: by_name[name].launches for name in OPERATIONS_BY_HAND}
    assert launches == {"encode": 359, "cross_kv": 8, "greedy_step": 50 + PROBABILITY + SPREADING}
    launches["greedy_step"] -= PROBABILITY + SPREADING
    assert all(launches[name] < by_hand for name, by_hand in OPERATIONS_BY_HAND.items())


@group("distil-large-v3")
def test_a_steps_peak_l1_is_at_most_that_of_the_program_by_hand(by_name):
    assert by_name["decode_step"].peak_l1 <= PEAK_L1_BY_HAND
    assert by_name["greedy_step"].peak_l1 <= PEAK_L1_BY_HAND


@group("distil-large-v3")
def test_programs_share_weights_and_caches_on_the_card(by_name):
    assert by_name["decode_step"].dram_added < by_name["prefill"].dram_added / 100
