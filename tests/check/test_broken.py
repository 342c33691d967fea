"""Programs that TT-NN would not run, by hand: each is caught and named."""

import json
from collections import Counter

import pytest

from ttscribe.check import Checkable, Kind, check_programs
from ttscribe.compiler.program import (
    L1,
    Constant,
    DType,
    Fallback,
    HostOp,
    HostSegment,
    HostSpec,
    Layout,
    Memory,
    Op,
    Program,
    Reason,
    Ref,
    Sharding,
    TensorSpec,
    Value,
)
from ttscribe.errors import OptionError

pytestmark = pytest.mark.xdist_group("check-broken")

MATRIX, ROWS = TensorSpec((1, 1, 64, 64)), TensorSpec((1, 1, 64, 64), layout=Layout.ROW_MAJOR)
HOST = HostSpec((1, 1, 64, 64), "float32")
IDS, TABLE = TensorSpec((1, 32), DType.INT32, Layout.ROW_MAJOR), TensorSpec((96, 64), layout=Layout.ROW_MAJOR)
LOOKED_UP = TensorSpec((1, 32, 64))
LARGE, LARGE_IN_L1 = TensorSpec((1, 1, 8192, 8192)), TensorSpec((1, 1, 8192, 8192), memory=L1)
DIAGONAL = Memory("l1", Sharding("diagonal", (32, 64), 2))
HUGE = TensorSpec((1, 1, 65536, 65536))

INPUTS = {"x": MATRIX, "rows": ROWS, "ids": IDS, "table": TABLE, "large": LARGE}
MATRIX_TEXT, ROWS_TEXT = "bfloat16[1, 1, 64, 64] tile dram", "bfloat16[1, 1, 64, 64] row_major dram"


def op(target, *operands, out="y", spec=MATRIX, **attributes):
    outputs = (Value(out, spec),) if out else ()
    return Op(target, operands, outputs, (), tuple(attributes.items()))


def program(name, *body, constants=()):
    """A program of these steps, unverified; its inputs are those of INPUTS that they read."""
    read = {given for step in body for given in step.inputs}
    inputs = tuple(Value(given, spec) for given, spec in INPUTS.items() if given in read)
    return Program(name, inputs, (), (), tuple(Constant(value, "p") for value in constants), body, ())


SORT = HostOp("aten.sort.default", (Ref("h"),), (), Value("sorted", HOST))
SORTS = HostSegment(
    (SORT,), ("h",), ("sorted",), (Fallback("sort", "aten.sort.default", Reason.NO_RULE, "nobody wrote a rule"),)
)

# The last one leaves little DRAM to others.
PROGRAMS = [
    program("sound", op("ttnn.relu", "x")),
    program("untiled", op("ttnn.linear", "rows", "x")),
    program("signed_ids", op("ttnn.embedding", "ids", "table", spec=LOOKED_UP, layout=Layout.TILE)),
    program("crowded_l1", op("ttnn.relu", "large", spec=LARGE_IN_L1, memory_config=L1)),
    program("other_dtype", op("ttnn.relu", "x", spec=TensorSpec(MATRIX.shape, DType.BFLOAT8_B))),
    program("other_shape", op("ttnn.relu", "x", spec=TensorSpec((1, 1, 64, 32)))),
    program("other_layout", op("ttnn.softmax", "rows", spec=ROWS, dim=-1)),
    program("other_memory", op("ttnn.relu", "x", spec=TensorSpec(MATRIX.shape, memory=L1))),
    program(
        "several",
        op("ttnn.linear", "rows", "x", out="a"),
        op("ttnn.relu", "a", out="b"),
        op("ttnn.relu", "b", out="c", colour="red"),
        op("ttnn.linear", "rows", "c", out="d"),
    ),
    program(
        "sorts",
        op("ttnn.to_torch", "x", out="h", spec=HOST, dtype="float32"),
        SORTS,
        op("ttnn.from_torch", "sorted", out="back", dtype=DType.BFLOAT16, layout=Layout.TILE),
        op("ttnn.relu", "back"),
    ),
    program("unknown_name", op("ttnn.relu", "x", memory_config=DIAGONAL)),
    program("crowded_dram", op("ttnn.relu", "w"), constants=(Value("w", HUGE), Value("v", HUGE))),
]

REFUSED = {
    "unknown_name": (
        f"ttnn.relu({MATRIX_TEXT}, memory_config=l1_diagonal-sharded_32x64_on_2)",
        "type object 'ShardStrategy' has no attribute 'DIAGONAL'",
    ),
    "untiled": (f"ttnn.linear({ROWS_TEXT}, {MATRIX_TEXT})", "Inputs to matmul must be tilized"),
    "signed_ids": (
        "ttnn.embedding(int32[1, 32] row_major dram, bfloat16[96, 64] row_major dram, layout=tile)",
        "Input must be UINT32 or BFLOAT16",
    ),
    "crowded_l1": (
        "ttnn.relu(bfloat16[1, 1, 8192, 8192] tile dram, memory_config=l1)",
        "Out of Memory: Not enough space to allocate 134217728 B L1 buffer",
    ),
}
DIFFERS = {
    "other_dtype": (f"bfloat8_b{MATRIX_TEXT.removeprefix('bfloat16')}", MATRIX_TEXT),
    "other_shape": ("bfloat16[1, 1, 64, 32] tile dram", MATRIX_TEXT),
    "other_layout": (ROWS_TEXT, MATRIX_TEXT),
    "other_memory": ("bfloat16[1, 1, 64, 64] tile l1", MATRIX_TEXT),
}


@pytest.fixture(scope="module")
def report():
    """One check of all programs that TT-NN survives."""
    return check_programs(
        [
            Checkable(each, {constant.value.name: constant.value.name for constant in each.constants})
            for each in PROGRAMS
        ]
    )


@pytest.fixture
def found(report):
    """What was found in one program, in order."""
    return lambda name: [finding for finding in report.findings if finding.program == name]


@pytest.fixture
def checked(report):
    return lambda name: next(each for each in report.programs if each.program == name)


@pytest.mark.parametrize(("name", "expected"), REFUSED.items(), ids=REFUSED)
def test_a_refused_call_is_told_with_its_tensors_and_tt_nns_message(found, name, expected):
    (finding,) = found(name)
    assert (finding.kind, finding.step, finding.call) == (Kind.REFUSED, 0, expected[0])
    assert finding.message.startswith(expected[1])


@pytest.mark.parametrize(("name", "expected"), DIFFERS.items(), ids=DIFFERS)
def test_a_result_that_is_not_as_declared_is_told_with_both(found, name, expected):
    (finding,) = found(name)
    assert (finding.kind, finding.step) == (Kind.DIFFERS, 0)
    assert finding.message == f"the program declares {expected[0]}, TT-NN gives {expected[1]}"


def test_weights_that_do_not_fit_the_card_are_told_at_load(found):
    (finding,) = found("crowded_dram")
    assert (finding.kind, finding.step) == (Kind.NOT_LOADED, -1)
    assert finding.call == "v: bfloat16[1, 1, 65536, 65536] tile dram"
    assert finding.message.startswith("Out of Memory: Not enough space to allocate 8589934592 B DRAM buffer")
    assert str(finding).startswith("crowded_dram, at load, not_loaded: v: ")


def test_a_host_segment_is_told_with_its_reason(found):
    (finding,) = found("sorts")
    assert (finding.kind, finding.step, finding.call) == (Kind.HOST_SEGMENT, 1, "aten.sort.default")
    assert finding.message == "stays in PyTorch (no_rule), so no trace can be captured: nobody wrote a rule"


def test_calls_after_a_refused_one_are_checked_too(found):
    assert [(finding.step, finding.kind) for finding in found("several")] == [
        (0, Kind.REFUSED),
        (2, Kind.REFUSED),
        (3, Kind.REFUSED),
    ]


def test_an_argument_that_the_function_does_not_have_is_refused(found):
    finding = found("several")[1]
    assert finding.call == f"ttnn.relu({MATRIX_TEXT}, colour='red')"
    assert "incompatible function arguments" in finding.message


def test_a_finding_reads_as_one_line(found):
    (finding,) = found("untiled")
    assert str(finding).startswith(
        f"untiled, step 0, refused: ttnn.linear({ROWS_TEXT}, {MATRIX_TEXT}): Inputs to matmul"
    )
    assert "\n" not in str(finding)


def test_a_sound_program_beside_broken_ones_has_no_findings(found, checked):
    assert found("sound") == []
    sound = checked("sound")
    assert (sound.calls, sound.device_operations, sound.peak_l1_call) == (1, {"Unary": 1}, "ttnn.relu")


def test_a_program_that_is_not_accepted_has_no_peak(checked):
    assert [checked(name).peak_l1 for name in ("untiled", "other_dtype", "sorts", "crowded_dram")] == [None] * 4


def test_the_verdict_counts_findings_and_names_board_and_precision(report):
    assert not report.accepted
    assert report.verdict == (
        f"not validated: {len(report.findings)} findings by TT-NN {report.ttnn}'s host software on a mock n150, exact"
    )


def test_the_report_is_data(report):
    document = json.loads(json.dumps(report.to_json()))
    assert document["accepted"] is False
    assert document["verdict"] == report.verdict
    assert [program["program"] for program in document["programs"]] == [each.name for each in PROGRAMS]
    kinds = Counter(finding["kind"] for finding in document["findings"])
    assert kinds == {"refused": 7, "differs": 4, "host_segment": 1, "not_loaded": 1}


@pytest.fixture(scope="module")
def crashed():
    """A check of a program that frees a weight by one name and reads it by another, and of a sound one after it."""
    reads_freed = program(
        "reads_freed",
        op("ttnn.deallocate", "w", out=None),
        op("ttnn.neg", "v", out="a"),
        op("ttnn.linear", "rows", "a", out="b"),
        constants=(Value("w", MATRIX), Value("v", MATRIX)),
    )
    return check_programs([Checkable(reads_freed, {"w": "same", "v": "same"}), Checkable(PROGRAMS[0], {})])


def test_an_operation_on_a_freed_tensor_ends_the_process_and_is_named(crashed):
    finding = crashed.findings[0]
    assert (finding.program, finding.step, finding.kind) == ("reads_freed", 1, Kind.CRASHED)
    assert finding.call == f"ttnn.neg({MATRIX_TEXT})"
    assert finding.message.startswith("TT-NN ended the process (SIG")


def test_calls_after_a_crash_are_checked_too(crashed):
    (_, finding) = crashed.findings
    assert (finding.program, finding.step, finding.kind) == ("reads_freed", 2, Kind.REFUSED)


def test_programs_after_a_crash_are_checked_too(crashed):
    assert [each.program for each in crashed.programs] == ["reads_freed", "sound"]
    assert crashed.programs[1].peak_l1 is not None


def test_a_program_with_a_crash_has_no_peak(crashed):
    assert crashed.programs[0].peak_l1 is None


def test_an_unknown_board_is_named():
    with pytest.raises(OptionError, match="no board is called 'n151'; there is n150, n300, n300x2, p150"):
        check_programs([Checkable(PROGRAMS[0], {})], "n151")
