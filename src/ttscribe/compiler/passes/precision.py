"""Precision: element types of weights, and an explicit compute configuration on every call that has one.

TT-NN's own defaults change with other arguments (``core_grid`` alone lowers a product from HiFi2 to LoFi), so none is
left to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ttscribe.compiler.passes.rewrite import Editor
from ttscribe.compiler.program import Config, DType, Op, Program, Step
from ttscribe.errors import OptionError


@dataclass(frozen=True, slots=True)
class Precision:
    """A policy. ``weights`` is the element type of matrices; activations, biases, norms and tables are bfloat16.

    ``fidelity`` is the math fidelity of matrix products and attention; norms and sums always have HiFi4 and a 32-bit
    accumulator. ``exact`` asks the emulator for float32 throughout, and changes nothing on a card.
    """

    name: str
    weights: DType
    fidelity: str
    exact: bool = False


POLICIES: Mapping[str, Precision] = {
    policy.name: policy
    for policy in (
        Precision("exact", DType.BFLOAT16, "HiFi4", exact=True),
        Precision("bf16-hifi4", DType.BFLOAT16, "HiFi4"),
        Precision("bf16-hifi2", DType.BFLOAT16, "HiFi2"),
        Precision("bfp8-hifi4", DType.BFLOAT8_B, "HiFi4"),
        Precision("bfp8-hifi2", DType.BFLOAT8_B, "HiFi2"),
    )
}
DEFAULT_POLICY = "bf16-hifi4"


def policy(name: str) -> Precision:
    """The policy of that name; OptionError names those that there are."""
    if name not in POLICIES:
        raise OptionError(f"no precision is called {name!r}; there is {', '.join(POLICIES)}")
    return POLICIES[name]


_PRODUCTS = ("ttnn.linear", "ttnn.matmul")
_ATTENTION = (
    "ttnn.transformer.scaled_dot_product_attention",
    "ttnn.transformer.scaled_dot_product_attention_decode",
)
_SUMS = ("ttnn.layer_norm", "ttnn.rms_norm", "ttnn.softmax", "ttnn.sum", "ttnn.mean", "ttnn.max", "ttnn.min")


def choose_precision(program: Program, precision: Precision) -> Program:
    """Give weights the policy's element type, and every product, attention, norm and sum its compute configuration."""
    weights = {op.operands[1] for op in program.ops if op.target == "ttnn.linear"} - _read_otherwise(program)
    constants = tuple(
        replace(constant, value=replace(constant.value, spec=replace(constant.value.spec, dtype=precision.weights)))
        if constant.value.name in weights
        else constant
        for constant in program.constants
    )
    program = replace(program, constants=constants, precision=precision.name)
    editor = Editor(program)
    body: list[Step] = [
        editor.reinfer(_configured(step, precision)) if isinstance(step, Op) and step.outputs else step
        for step in program.body
    ]
    return editor.finish(body)


def _read_otherwise(program: Program) -> set[str]:
    """Values that something other than a product by them reads: those keep their element type."""
    inputs = [
        (op.target == "ttnn.linear" and at == 1, name) for op in program.ops for at, name in enumerate(op.inputs())
    ]
    return {name for multiplies, name in inputs if not multiplies} | {*program.outputs}


def compute_config(fidelity: str, *, accumulate_fp32: bool) -> Config:
    """TT-NN's compute kernel configuration, with nothing left to its defaults."""
    return Config(
        "ComputeKernelConfig",
        (
            ("math_fidelity", fidelity),
            ("math_approx_mode", False),
            ("fp32_dest_acc_en", accumulate_fp32),
            ("packer_l1_acc", True),
        ),
    )


def _configured(op: Op, precision: Precision) -> Op:
    if op.target in _PRODUCTS:
        config = compute_config(precision.fidelity, accumulate_fp32=False)
        return op.with_attributes(compute_kernel_config=config, core_grid=Config("FullGrid", ()))
    if op.target in _ATTENTION:
        return op.with_attributes(compute_kernel_config=compute_config(precision.fidelity, accumulate_fp32=False))
    if op.target in _SUMS:
        return op.with_attributes(compute_kernel_config=compute_config("HiFi4", accumulate_fp32=True))
    if op.target == "ttnn.conv1d":
        given: Config | None = op.attribute("conv_config")
        fields = {"weights_dtype": DType.BFLOAT16, **dict(() if given is None else given.fields)}
        return op.with_attributes(
            conv_config=Config("Conv1dConfig", tuple(fields.items())),
            compute_config=compute_config("HiFi4", accumulate_fp32=False),
        )
    return op
