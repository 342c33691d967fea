"""Let the call that makes a tensor also add its bias and apply its activation."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ttscribe.compiler.editor import Rewriter, rewrite
from ttscribe.compiler.program import Attribute, Config, Op, Program, Ref
from ttscribe.compiler.settings import CompileSettings

# By TT-NN's names for a product's activation. Fused, it is applied to the accumulator, before the product is rounded.
_ACTIVATIONS = {"ttnn.gelu": "gelu", "ttnn.relu": "relu", "ttnn.silu": "silu"}


def fuse_bias(program: Program, _settings: CompileSettings) -> Program:
    """``add(linear(x, w), row)`` becomes ``linear(x, w, bias=row)``, also where a reshape of rows is in between."""
    return rewrite(program, {"ttnn.add": _add_as_bias})


def _add_as_bias(rewriter: Rewriter, add: Op) -> list[Op] | None:
    product = _product_below(rewriter, add) if len(add.operands) == 2 else None
    if product is None or not _is_constant_row(rewriter, add.operands[1], product.output.name):
        return None
    linear = rewriter.call(
        product.target,
        *product.operands,
        keywords={"bias": _as_row(rewriter, add.operands[1])},
        source=(*product.source, *add.source),
        **product.attributes_by_name(),
    )
    name = add.output.name
    return [linear, rewriter.call("ttnn.reshape", linear.output.name, names=[name], shape=rewriter.spec(name).shape)]


def _product_below(rewriter: Rewriter, add: Op) -> Op | None:
    """The linear layer without bias whose rows ``add`` adds to, if nothing else reads them."""
    name = add.operands[0]
    # Such as greedy_step's suppression, which is added to [1, V], a reshape of the product's [1, 1, V].
    while rewriter.uses(name) == 1 and (op := rewriter.producer(name, "ttnn.linear", "ttnn.reshape")) is not None:
        if op.target == "ttnn.linear":
            return op if op.keyword("bias") is None and op.attribute("activation") is None else None
        if rewriter.spec(op.operands[0]).shape[-1] != rewriter.spec(name).shape[-1]:
            return None
        name = op.operands[0]
    return None


def _is_constant_row(rewriter: Rewriter, name: str, rows: str) -> bool:
    width = rewriter.spec(rows).shape[-1]
    one_row = prod(rewriter.spec(name).shape) == rewriter.spec(name).shape[-1] == width
    return rewriter.is_constant(name) and one_row


def _as_row(rewriter: Rewriter, name: str) -> str:
    spec = rewriter.spec(name)
    if spec.shape == (1, spec.shape[-1]):
        return name
    source = rewriter.constant_source(name)
    row = rewriter.compute("aten.reshape.default", Ref(source), (1, spec.shape[-1]), name=f"{source}_row")
    return rewriter.constant(row, spec)


def fuse_activation(program: Program, _settings: CompileSettings) -> Program:
    """An activation of a linear layer or a convolution goes into the call that makes its input."""
    return rewrite(program, dict.fromkeys(_ACTIVATIONS, _into_producer))


def _into_producer(rewriter: Rewriter, activation: Op) -> list[Op] | None:
    (operand,) = activation.operands
    producer = rewriter.producer(operand, "ttnn.linear", "ttnn.conv1d")
    if producer is None or rewriter.uses(operand) != 1 or not _takes_activation(producer):
        return None
    name = _ACTIVATIONS[activation.target]
    attribute = "activation" if producer.target == "ttnn.linear" else "conv_config"
    value = name if producer.target == "ttnn.linear" else _of_convolution(name)
    fused = replace(producer, source=(*producer.source, *activation.source))
    rewriter.amend(producer, fused.with_attributes(**{attribute: value}))
    rewriter.rename(activation.output.name, operand)
    return []


def _of_convolution(name: str) -> Config:
    """A convolution with this activation. GELU's parameter asks for the exact formula.

    Without it a convolution's GELU is a table of six pieces, off by up to 0.024 (recorded from TT-NN 0.81.1's kernels),
    where a product's, asked for by name, is exact.
    """
    fields: tuple[tuple[str, Attribute], ...] = (("op", name.upper()),)
    if name == "gelu":
        fields += (("param", 0.0),)
    return Config("Conv1dConfig", (("activation", Config("UnaryWithParam", fields)),))


def _takes_activation(op: Op) -> bool:
    return op.attribute("activation") is None and op.attribute("conv_config") is None
