"""Let the call that makes a tensor also add its bias and apply its activation."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from math import prod

from ttscribe.compiler.passes.rewrite import Editor, producers, uses
from ttscribe.compiler.program import Config, Op, Program, Ref, Step

_ACTIVATIONS = {"ttnn.gelu": "gelu", "ttnn.relu": "relu", "ttnn.silu": "silu"}


def fuse_bias(program: Program) -> Program:
    """``add(linear(x, w), row)`` becomes ``linear(x, w, bias=row)``, also where a reshape of rows is in between."""
    made, counts, editor = producers(program), uses(program), Editor(program)
    constants = {constant.value.name for constant in program.constants}
    body: list[Step] = []
    for step in program.body:
        product = _product_below(editor, step, made, counts) if isinstance(step, Op) and _adds(step) else None
        row = step.operands[1] if product is not None and isinstance(step, Op) else ""
        fits = product is not None and row in constants and _is_row(editor, row, product.output.name)
        if not isinstance(step, Op) or product is None or not fits:
            body.append(step)
            continue
        linear = editor.op(
            product.target,
            *product.operands,
            keywords={"bias": _as_row(editor, row)},
            source=(*product.source, *step.source),
            **product.attributes_by_name(),
        )
        shape, name = editor.spec(step.output.name).shape, step.output.name
        body += [linear, editor.op("ttnn.reshape", linear.output.name, names=[name], shape=shape)]
    return editor.finish(body)


def _product_below(editor: Editor, add: Op, made: Mapping[str, Op], counts: Counter[str]) -> Op | None:
    """The linear layer without bias whose rows ``add`` adds to, if nothing else reads them."""
    name = add.operands[0]
    while name in made and counts[name] == 1:
        op = made[name]
        if op.target == "ttnn.linear":
            return op if op.keyword("bias") is None and op.attribute("activation") is None else None
        keeps_rows = op.target == "ttnn.reshape"
        if not keeps_rows or editor.spec(op.operands[0]).shape[-1] != editor.spec(name).shape[-1]:
            return None
        name = op.operands[0]
    return None


def _is_row(editor: Editor, name: str, rows: str) -> bool:
    width = editor.spec(rows).shape[-1]
    return prod(editor.spec(name).shape) == editor.spec(name).shape[-1] == width


def _adds(op: Op) -> bool:
    return op.target == "ttnn.add" and len(op.operands) == 2


def _as_row(editor: Editor, name: str) -> str:
    spec = editor.spec(name)
    if spec.shape == (1, spec.shape[-1]):
        return name
    source = editor.constant_source(name)
    assert source is not None
    row = editor.at_setup("aten.reshape.default", Ref(source), (1, spec.shape[-1]), name=f"{source}_row")
    return editor.constant(row, spec)


def fuse_activation(program: Program) -> Program:
    """An activation of a linear layer or a convolution goes into the call that makes its input."""
    counts, editor = uses(program), Editor(program)
    body: list[Step] = []
    place: dict[str, int] = {}
    for step in program.body:
        at = place.get(step.operands[0]) if isinstance(step, Op) and step.target in _ACTIVATIONS else None
        if isinstance(step, Op) and at is not None and counts[step.operands[0]] == 1:
            source = body[at]
            assert isinstance(source, Op)
            body[at] = _with_activation(source, step)
            editor.rename(step.output.name, source.output.name)
            continue
        if isinstance(step, Op) and _takes_activation(step):
            place[step.output.name] = len(body)
        body.append(step)
    return editor.finish(body)


def _takes_activation(op: Op) -> bool:
    if op.target == "ttnn.linear":
        return op.attribute("activation") is None
    return op.target == "ttnn.conv1d" and op.attribute("conv_config") is None


def _with_activation(op: Op, step: Op) -> Op:
    activation = _ACTIVATIONS[step.target]
    op = replace(op, source=(*op.source, *step.source))
    if op.target == "ttnn.linear":
        return op.with_attributes(activation=activation)
    return op.with_attributes(conv_config=Config("Conv1dConfig", (("activation", activation),)))
