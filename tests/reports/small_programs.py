"""Programs of one product each, to compute by hand."""

from dataclasses import replace

from ttscribe.compiler.passes.precision import compute_config
from ttscribe.compiler.program import DRAM, DType, Op, Program, TensorSpec, Value


def linear(rows, inner, columns, *, memory=DRAM, weights=DType.BFLOAT16, fidelity="HiFi4"):
    """A program of one product: operand and result in ``memory``, weights in DRAM."""
    inputs = (
        Value("x", TensorSpec((1, 1, rows, inner), memory=memory)),
        Value("w", TensorSpec((inner, columns), weights)),
    )
    made = Value("y", TensorSpec((1, 1, rows, columns), memory=memory))
    config = compute_config(fidelity)
    op = Op("ttnn.linear", ("x", "w"), (made,), (), (("compute_kernel_config", config),), ("linear_1",))
    return Program("small", inputs, (), (), (), (op,), ("y",))


# The programs of a model, bound by compute but for the step, which is bound by DRAM.
MODEL = {
    name: replace(linear(*shape), name=name)
    for name, shape in {
        "encode": (4096, 4096, 4096),
        "cross_kv": (1024, 1024, 1024),
        "prefill": (32, 1280, 5120),
        "greedy_step": (1, 1280, 5120),
        "timed_step": (1, 1280, 5120),
    }.items()
}
