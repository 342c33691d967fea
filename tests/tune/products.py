"""Products as a compiled program has them, one call each."""

from ttscribe.compiler.operations import OPERATIONS
from ttscribe.compiler.passes.precision import compute_config
from ttscribe.compiler.program import L1, Config, DType, Op, Program, Role, TensorSpec, Value

GRID = Config("FullGrid", ())


def linear(rows, inner, columns, *, weights=DType.BFLOAT8_B, memory=L1, fidelity="HiFi3", **attributes):
    """A product of [rows, inner] by weights [inner, columns] with a bias, and the specs of what it reads."""
    specs = {
        "x": TensorSpec((1, 1, rows, inner), memory=memory),
        "w": TensorSpec((inner, columns), weights),
        "b": TensorSpec((1, columns), DType.FLOAT32),
    }
    given = {"compute_kernel_config": compute_config(fidelity), "core_grid": GRID, "memory_config": L1, **attributes}
    kept = tuple((name, item) for name, item in given.items() if item is not None)
    op = Op("ttnn.linear", ("x", "w"), (), (("bias", "b"),), kept)
    (spec,) = OPERATIONS[op.target].infer(op, list(specs.values()))
    return Op(op.target, op.operands, (Value("y", spec),), op.keywords, kept), specs


def program(op, specs):
    """The call as a program that gives its result."""
    inputs = tuple(Value(name, spec, Role.ARGUMENT) for name, spec in specs.items())
    return Program("one", inputs, (), (), (), (op,), op.results)
