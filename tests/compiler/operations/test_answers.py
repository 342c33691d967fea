"""The table of operations against TT-NN's own answers.

``answers.txt`` holds calls as TT-NN 0.81.1 answered them on a mock n150: the output's shape, dtype, layout and memory,
and the device operations that were launched, or "refused"; ``make_answers.py`` writes it. Here the same call is asked
of the table.
"""

import re

import pytest

from compiler.operations.make_answers import ANSWERS, ENDED, REFUSED, SEPARATOR
from ttscribe.compiler.operations import OPERATIONS, SpecError
from ttscribe.compiler.program import DRAM, L1, Config, DType, Layout, Op, Ref, TensorSpec

ANSWERED = [line.split(SEPARATOR) for line in ANSWERS.read_text().splitlines()]
DTYPES = {"bf16": DType.BFLOAT16, "bf8": DType.BFLOAT8_B, "bf4": DType.BFLOAT4_B, "f32": DType.FLOAT32}
DTYPES |= {"i32": DType.INT32, "u32": DType.UINT32}


def tensor(*shape, dtype=DType.BFLOAT16, layout=Layout.TILE, mem=DRAM):
    return TensorSpec(shape, dtype, layout, mem)


class Calls:
    """Stands for the module ``ttnn`` (or one inside it): a call gives the operation, the Op, and its specs."""

    def __init__(self, path):
        self.path = path

    def __getattr__(self, name):
        return Calls(f"{self.path}.{name}")

    def __call__(self, *args, **kwargs):
        operation = OPERATIONS[self.path]
        args = [*args[0], *args[1:]] if operation.variadic else list(args)
        named = [kwargs.pop(name) for name in operation.operand_names if isinstance(kwargs.get(name), TensorSpec)]
        operands = [each for each in args if isinstance(each, TensorSpec)] + named
        scalars = [each for each in args if not isinstance(each, TensorSpec)]
        # Only ttnn.where takes numbers in the place of tensors: their place says which of the two they are.
        names = operation.positional or [operation.operand_names[args.index(each) - 1] for each in scalars]
        attributes = dict(zip(names, map(frozen, scalars), strict=False))
        attributes |= {name: frozen(each) for name, each in kwargs.items() if not isinstance(each, TensorSpec)}
        keywords = {name: each for name, each in kwargs.items() if isinstance(each, TensorSpec)}
        operand_names = tuple(f"t{i}" for i in range(len(operands)))
        op = Op(self.path, operand_names, (), tuple((name, name) for name in keywords), tuple(attributes.items()))
        return operation, op, [*operands, *keywords.values()]


def frozen(value):
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


NAMES = {"T": tensor, "ttnn": Calls("ttnn"), "TILE": Layout.TILE, "RM": Layout.ROW_MAJOR, "DRAM": DRAM, "L1": L1}
NAMES |= DTYPES | {"GRID": Config("CoreGrid", (("y", 8), ("x", 8)))}


def text(spec):
    kind = f"{spec.memory.sharding.strategy}_SHARDED" if spec.memory.sharding else "INTERLEAVED"
    words = (list(spec.shape), spec.dtype.value, spec.layout.value, spec.memory.buffer, kind)
    return " ".join(str(word).upper() for word in words)


@pytest.mark.parametrize(("call", "answer"), ANSWERED, ids=[call for call, _ in ANSWERED])
def test_table_answers_as_ttnn(call, answer):
    operation, op, specs = eval(call, NAMES)
    if answer in (REFUSED, ENDED):
        with pytest.raises(SpecError):
            operation.infer(op, specs)
        return
    wanted, launched = answer.split(" | ") if " | " in answer else (answer.removesuffix(" |"), "")
    outputs = operation.infer(op, specs)
    if not operation.mutates:
        assert "; ".join(map(text, outputs)) == wanted
    assert operation.device_operations(op, specs, outputs) == len(re.findall(r"\w+", launched))


X, Y, Z = (Ref(name) for name in "xyz")


@pytest.mark.parametrize(
    ("op", "positional", "keywords"),
    [
        (Op("ttnn.reshape", ("x",), (), (), (("shape", (2, 3)),)), [X, (2, 3)], {}),
        (Op("ttnn.concat", ("x", "y"), (), (), (("dim", 0),)), [[X, Y]], {"dim": 0}),
        (Op("ttnn.linear", ("x", "y"), (), (("bias", "z"),)), [X, Y], {"bias": Z}),
        (
            Op("ttnn.add", ("x",), (), (), (("other", 1.0), ("dtype", DType.FLOAT32))),
            [X, 1.0],
            {"dtype": DType.FLOAT32},
        ),
        (Op("ttnn.scatter", ("x", "y", "z"), (), (), (("dim", 1),)), [X], {"index": Y, "src": Z, "dim": 1}),
        (Op("ttnn.where", ("x", "y"), (), (), (("true_value", 0.5),)), [X], {"false_value": Y, "true_value": 0.5}),
        (Op("ttnn.where", ("x", "y", "z"), ()), [X], {"true_value": Y, "false_value": Z}),
    ],
)
def test_call_arguments_stand_where_ttnn_wants_them(op, positional, keywords):
    assert OPERATIONS[op.target].call(op) == (positional, keywords)


def test_unknown_argument_is_refused_by_name():
    op = Op("ttnn.layer_norm", ("x",), (), (), (("eps", 1e-5),))
    with pytest.raises(SpecError, match=r"ttnn\.layer_norm has no argument eps"):
        OPERATIONS[op.target].infer(op, [tensor(5, 64)])


def test_every_operation_is_one_of_ttnn():
    ttnn = pytest.importorskip("ttnn")
    for name in OPERATIONS:
        found = ttnn
        for part in name.split(".")[1:]:
            found = getattr(found, part)


@pytest.mark.parametrize(
    ("call", "flops"),
    [
        ("ttnn.linear(T(3, 5, 64), T(64, 32))", 2 * 3 * 5 * 64 * 32),
        ("ttnn.matmul(T(2, 5, 64), T(2, 7, 64), transpose_b=True)", 2 * 2 * 5 * 64 * 7),
        ("ttnn.add(T(5, 64), T(64))", 5 * 64),
        ("ttnn.sum(T(5, 64), dim=0)", 5 * 64),
        ("ttnn.reshape(T(5, 64), (64, 5))", 0),
    ],
)
def test_flops(call, flops):
    operation, op, specs = eval(call, NAMES)
    assert operation.flop_count(op, specs, operation.infer(op, specs)) == flops
