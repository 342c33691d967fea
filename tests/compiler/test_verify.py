import pytest

from ttscribe.compiler.program import (
    Constant,
    DType,
    HostOp,
    HostSegment,
    HostSpec,
    Layout,
    Op,
    Program,
    Ref,
    TensorSpec,
    Value,
)
from ttscribe.compiler.verify import ProgramInvalid, verify

MATRIX, HOST = TensorSpec((5, 40)), HostSpec((5, 40), "float32")


def call(target, *operands, out=None, spec=MATRIX, **attributes):
    outputs = (Value(out, spec),) if out else ()
    return Op(target, operands, outputs, (), tuple(attributes.items()))


def segment(*, inputs=("h",), outputs=("s",)):
    ops = (
        HostOp("aten.sort.default", (Ref("h"),), (), Value("pair", HostSpec((), "tuple"))),
        HostOp("operator.getitem", (Ref("pair"), 0), (), Value("s", HOST)),
    )
    return HostSegment(ops, inputs, outputs, ())


def program(*body, outputs=(), written=()):
    return Program(
        "tiny",
        (Value("x", MATRIX), Value("h", HOST)),
        (Value("p", HOST),),
        (HostOp("aten.neg.default", (Ref("p"),), (), Value("q", HOST)),),
        (Constant(Value("c", MATRIX), "q"),),
        body,
        outputs,
        written_inputs=written,
    )


def test_a_sound_program_is_accepted():
    verify(
        program(
            call("ttnn.add", "x", "c", out="a"),
            segment(),
            call("ttnn.from_torch", "s", out="b", dtype=DType.BFLOAT16, layout=Layout.TILE),
            call("ttnn.copy", "a", "x"),
            call("ttnn.deallocate", "a"),
            outputs=("b",),
            written=("x",),
        )
    )


@pytest.mark.parametrize(
    ("body", "written", "sentence"),
    [
        ([], ("x",), "no call writes x, which is declared as written"),
        ([call("ttnn.copy", "c", "x")], (), "a call writes x, which is not declared as written"),
    ],
)
def test_what_is_written_is_what_is_declared_as_written(body, written, sentence):
    with pytest.raises(ProgramInvalid, match=sentence):
        verify(program(*body, written=written))


BROKEN = {
    "x is defined twice": [call("ttnn.relu", "x", out="x")],
    "y is used before it is defined": [call("ttnn.relu", "y", out="z")],
    "a is used after it was freed": [
        call("ttnn.relu", "x", out="a"),
        call("ttnn.deallocate", "a"),
        call("ttnn.relu", "a", out="b"),
    ],
    "view is used after it was freed": [
        call("ttnn.relu", "x", out="a"),
        call("ttnn.reshape", "a", out="view", spec=TensorSpec((1, 5, 40)), shape=(1, 5, 40)),
        call("ttnn.deallocate", "a"),
        call("ttnn.relu", "view", out="b"),
    ],
    "it frees view, a view of what the program does not own": [
        call("ttnn.reshape", "x", out="view", spec=TensorSpec((1, 5, 40)), shape=(1, 5, 40)),
        call("ttnn.deallocate", "view"),
    ],
    "there is no such operation in the table": [call("ttnn.fly", "x", out="a")],
    "it gives TensorSpec": [call("ttnn.relu", "x", out="a", spec=TensorSpec((5, 41)))],
    "cannot multiply": [call("ttnn.matmul", "x", "c", out="a")],
    "h is on the host: move it in first": [call("ttnn.relu", "h", out="a")],
    "it writes to c, which is a constant": [call("ttnn.copy", "x", "c")],
    "it frees x, which the program does not own": [call("ttnn.deallocate", "x")],
    "it declares inputs": [segment(inputs=())],
    "it declares outputs that it does not make": [segment(outputs=("t",))],
    "pair is no output of its host segment": [
        segment(),
        HostSegment((HostOp("operator.getitem", (Ref("pair"), 1), (), Value("t", HOST)),), ("pair",), ("t",), ()),
    ],
    "x is on the device, not on the host": [
        HostSegment((HostOp("aten.neg.default", (Ref("x"),), (), Value("t", HOST)),), ("x",), ("t",), ()),
    ],
}


@pytest.mark.parametrize(("sentence", "body"), BROKEN.items(), ids=BROKEN)
def test_a_broken_program_is_refused_with_a_sentence(sentence, body):
    with pytest.raises(ProgramInvalid) as caught:
        verify(program(*body))
    assert sentence in str(caught.value)
    assert f"step {len(body) - 1} (" in str(caught.value)


def test_outputs_must_exist():
    with pytest.raises(ProgramInvalid, match="outputs: y is used before it is defined"):
        verify(program(outputs=("y",)))


def test_constants_come_from_the_host():
    made = Program("tiny", (Value("h", HOST),), (), (), (Constant(Value("c", MATRIX), "h"),), (), ())
    with pytest.raises(ProgramInvalid, match="constant c: its source h is no param and no setup value"):
        verify(made)
