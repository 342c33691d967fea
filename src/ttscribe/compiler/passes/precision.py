"""Precision: element types of weights, and an explicit compute configuration on every call that has one.

TT-NN's own defaults change with other arguments (``core_grid`` alone lowers a product from HiFi2 to LoFi), so none is
left to it.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from ttscribe.compiler.editor import Rewriter, rewrite
from ttscribe.compiler.operations import OPERATIONS, Family
from ttscribe.compiler.program import Attribute, Config, Constant, DType, Op, Program
from ttscribe.compiler.settings import CompileSettings, Precision
from ttscribe.errors import OptionError

_ELEMENTWISE = (Family.MOVEMENT, Family.POINTWISE, Family.REDUCTION)
_COMPARISONS = tuple(f"ttnn.{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge"))
# What is decided by a number does not hold it.
_DECISIONS = ("ttnn.argmax", *_COMPARISONS)


def choose_precision(program: Program, settings: CompileSettings) -> Program:
    """Give weights the policy's element type, and every product, attention, norm and sum its compute configuration.

    Products that are results, such as logits, keep the 32 bits that they are summed in; others have biases of 32 bits.
    """
    precision, names = settings.precision, _Names(program)
    _refuse_unmatched(precision, program, names)
    weights = _weights(program)
    constants = tuple(
        _of_type(constant, precision.weights_of(names.of_weight(constant.value.name)))
        if constant.value.name in weights
        else constant
        for constant in program.constants
    )
    program = replace(program, constants=constants, precision=precision.name)

    def configure(rewriter: Rewriter, op: Op) -> list[Op] | None:
        if not op.outputs:
            return None
        configured = _configured(op, precision.fidelity_of(names.of(op)))
        if op.target in _COMPARISONS and op.output.spec.dtype is DType.BFLOAT16:
            # As every boolean is held, whatever is compared.
            configured = configured.with_attributes(dtype=DType.BFLOAT16)
        is_product = OPERATIONS[op.target].family is Family.MATMUL
        if is_product and op.attribute("dtype") is None and _is_result(rewriter, op.output.name):
            configured = configured.with_attributes(dtype=DType.FLOAT32)
        elif op.target == "ttnn.linear":
            configured = _with_whole_bias(rewriter, configured)
        return [rewriter.reinferred(configured)]

    return rewrite(program, dict.fromkeys(OPERATIONS, configure))


class _Names:
    """The names by which a policy's overrides know a program's operations."""

    def __init__(self, program: Program) -> None:
        self._program = program.name
        self._sources = {constant.value.name: constant.source for constant in program.constants}
        self._made_of = {op.output.name: op.inputs for op in program.setup}
        self._params = {value.name for value in program.params}

    def of(self, op: Op) -> tuple[str, ...]:
        """Of a product with weights those of its weights, of any other operation its own."""
        of_weight = self.of_weight(op.operands[1]) if op.target == "ttnn.linear" else ()
        return of_weight or (f"{self._program}.{op.target.rpartition('.')[2]}",)

    def of_weight(self, constant: str) -> tuple[str, ...]:
        """Of the params that a constant is made of, which are several where products were joined."""
        waiting, found = [self._sources[constant]] if constant in self._sources else [], []
        while waiting:
            name = waiting.pop()
            if name in self._params:
                found.append(f"{self._program}.{name}")
            waiting += self._made_of.get(name, ())
        return tuple(found)


def _refuse_unmatched(precision: Precision, program: Program, names: _Names) -> None:
    """Raises OptionError for an override of this very program that none of its operations matches.

    What stays on the host has no setting, and may be what an override is for.
    """
    if program.host_segments:
        return
    known = [name for op in program.ops if _is_chosen(op) for name in names.of(op)]
    for each in precision.overrides:
        of_this = each.operations.partition(".")[0] == program.name
        if of_this and not any(fnmatchcase(name, each.operations) for name in known):
            raise OptionError(f"policy {precision.name}: {each.operations!r} matches no operation of {program.name}")


def _is_chosen(op: Op) -> bool:
    """Whether the policy says the operation's fidelity."""
    kernel = OPERATIONS[op.target].kernel
    return kernel is not None and kernel.fidelity is None


def _of_type(constant: Constant, dtype: DType) -> Constant:
    return replace(constant, value=replace(constant.value, spec=replace(constant.value.spec, dtype=dtype)))


def _with_whole_bias(rewriter: Rewriter, product: Op) -> Op:
    """A product whose bias, if it is a constant, has the 32 bits of the sum that it is added to.

    In 16 it makes a quarter of the error of tiny.en's logits. Not the vocabulary's, which is as large as all others
    together, and only suppresses tokens.
    """
    bias = product.keyword("bias")
    if bias is None or not rewriter.is_constant(bias):
        return product
    spec = replace(rewriter.spec(bias), dtype=DType.FLOAT32)
    return product.with_keyword("bias", rewriter.constant(rewriter.constant_source(bias), spec))


def _is_result(rewriter: Rewriter, name: str) -> bool:
    """Whether a value is moved, computed with element by element, decided by, and given out, and nothing else.

    The best two of many logits are often nearer to each other than two numbers of bfloat16 are.
    """
    readers = rewriter.readers(name)
    elsewhere = rewriter.uses(name) - len(readers) - rewriter.program.outputs.count(name)
    return not elsewhere and all(
        op.target in _DECISIONS
        or (
            (OPERATIONS[op.target].family in _ELEMENTWISE or op.target == "ttnn.softmax")
            and all(_is_result(rewriter, each.name) for each in op.outputs)
        )
        for op in readers
    )


def _weights(program: Program) -> set[str]:
    """Values that linear layers multiply by, and that nothing else reads: others keep their element type."""
    # The token embedding is two constants: a table in rows to look up, and its transpose in tiles, which is a weight
    # here.
    multiplied = {op.operands[1] for op in program.ops if op.target == "ttnn.linear"}
    otherwise = {
        name for op in program.ops for at, name in enumerate(op.inputs) if not (op.target == "ttnn.linear" and at == 1)
    }
    return multiplied - otherwise - {*program.outputs}


def compute_config(fidelity: str) -> Config:
    """TT-NN's compute kernel configuration; nothing that changes values is left to its defaults.

    Those are LoFi, approximate functions and sums in 16 bits (``ttnn.init_device_compute_kernel_config`` of TT-NN
    0.81.1).
    """
    return Config(
        "ComputeKernelConfig",
        (
            ("math_fidelity", fidelity),
            ("math_approx_mode", False),
            # In 16 bits each step of a long sum is rounded: logits of tiny.en then miss the accuracy contract
            # (docs/accuracy.md). Half as many tiles fit the destination registers.
            ("fp32_dest_acc_en", True),
            # A long product is summed in blocks: the packer adds them up in L1, and the matrix engine need not read
            # them back.
            ("packer_l1_acc", True),
            ("dst_full_sync_en", False),
        ),
    )


def _configured(op: Op, fidelity: str) -> Op:
    operation = OPERATIONS[op.target]
    op = op.with_attributes(**{name: item for name, item in operation.stated if op.attribute(name) is None})
    kernel = operation.kernel
    if kernel is None:
        return op
    config = compute_config(kernel.fidelity or fidelity)
    op = op.with_attributes(**{kernel.attribute: config})
    if kernel.on_grid:
        return op.with_attributes(core_grid=Config("FullGrid", ()))
    if op.target == "ttnn.conv1d":
        chosen: Config | None = op.attribute("conv_config")
        # Whether the whole width of the matrix is summed at once decides the order of sums.
        stated: dict[str, Attribute] = {"weights_dtype": DType.BFLOAT16, "full_inner_dim": False}
        fields = stated | dict(() if chosen is None else chosen.fields)
        return op.with_attributes(conv_config=Config("Conv1dConfig", tuple(fields.items())))
    return op
