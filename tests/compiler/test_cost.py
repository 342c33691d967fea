from ttscribe.compiler.cost import Cost, program_cost
from ttscribe.compiler.program import DType, Layout, Op, Program, TensorSpec, Value

X, W = TensorSpec((1, 40)), TensorSpec((40, 64), DType.BFLOAT8_B)
Y = TensorSpec((1, 64))
TABLE = TensorSpec((1000, 64), layout=Layout.ROW_MAJOR)
IDS = TensorSpec((1, 3), DType.UINT32, Layout.ROW_MAJOR)


def cost(op, *inputs):
    values = tuple(Value(name, spec) for name, spec in zip("abc", inputs, strict=False))
    return program_cost(Program("tiny", values, (), (), (), (op,), ()))


def test_a_product_reads_both_operands_with_their_padding():
    op = Op("ttnn.linear", ("a", "b"), (Value("y", Y),))
    weight = 64 * 64 + 64 * 64 // 16
    assert cost(op, X, W) == Cost(2 * 40 * 64, 32 * 64 * 2 + weight, 32 * 64 * 2, 1)


def test_a_look_up_reads_the_rows_that_it_gives():
    op = Op("ttnn.embedding", ("a", "b"), (Value("y", TensorSpec((1, 3, 64), layout=Layout.ROW_MAJOR)),))
    assert cost(op, IDS, TABLE) == Cost(0, 3 * 4 + 3 * 64 * 2, 3 * 64 * 2, 1)


def test_a_free_reshape_costs_nothing():
    op = Op("ttnn.reshape", ("a",), (Value("y", TensorSpec((1, 1, 40))),), (), (("shape", (1, 1, 40)),))
    assert cost(op, X) == Cost()


def test_a_copy_in_place_reads_and_writes_its_source():
    assert cost(Op("ttnn.copy", ("a", "b"), ()), X, X) == Cost(0, X.bytes, X.bytes, 1)


def test_a_program_costs_what_its_calls_cost():
    op = Op("ttnn.relu", ("a",), (Value("y", X),))
    twice = Program("tiny", (Value("a", X),), (), (), (), (op, Op("ttnn.neg", ("y",), (Value("z", X),))), ("z",))
    assert program_cost(twice) == cost(op, X) + cost(op, X)
