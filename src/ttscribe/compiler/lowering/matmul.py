"""Linear layers, matrix products, convolution, embedding: everything that multiplies by weights."""

from math import prod
from typing import Any

from torch import fx

from ttscribe.compiler.lowering.builder import Builder
from ttscribe.compiler.lowering.guards import FLOATS, INTEGERS, all_of, arguments, floats_only, rank_at_least, value
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import DType, Layout, Reason


def _bias(b: Builder, argument: Any, rank: int = 2, layout: Layout = Layout.TILE) -> str | None:
    """A bias as the row that TT-NN adds to every row of the product."""
    if argument is None:
        return None
    shape = (1,) * (rank - 1) + tuple(value(argument).shape)
    if b.is_constant(argument):
        return b.constant(b.at_setup("aten.reshape.default", b.places[argument], shape), layout=layout)
    return b.cast(b.op("ttnn.reshape", b.tensor(argument), shape=shape), layout=layout)


@rule("aten.linear.default", guard=all_of(floats_only, rank_at_least(2)))
def linear(b: Builder, node: fx.Node) -> str:
    x, weight, bias = (*arguments(node), None)[:3]
    if b.is_constant(weight):
        turned = b.constant(b.at_setup("aten.t.default", b.places[weight]))
        return b.op("ttnn.linear", b.tensor(x), turned, keywords={"bias": _bias(b, bias)})
    return b.op("ttnn.linear", b.tensor(x), b.tensor(weight), keywords={"bias": _bias(b, bias)}, transpose_b=True)


def _plain_addmm(node: fx.Node) -> Refusal | None:
    if node.kwargs.get("alpha", 1) == 1 and node.kwargs.get("beta", 1) == 1:
        return None
    return Refusal(Reason.ARGUMENT, "alpha or beta is not 1; multiply beforehand")


@rule("aten.addmm.default", "aten.baddbmm.default", guard=all_of(floats_only, _plain_addmm))
def addmm(b: Builder, node: fx.Node) -> str:
    bias, x, weight = arguments(node)
    if value(weight).ndim == 2 and tuple(value(bias).shape) == tuple(value(node).shape[-1:]):
        return b.op("ttnn.linear", b.tensor(x), b.tensor(weight), keywords={"bias": _bias(b, bias)})
    product = b.op("ttnn.matmul", b.tensor(x), b.tensor(weight))
    return b.op("ttnn.add", product, b.tensor(bias))


def _one_batch(node: fx.Node) -> Refusal | None:
    left, right = (value(argument).shape for argument in arguments(node))
    same = len(left) == len(right) and (left[:-2] == right[:-2] or prod(left[:-2]) == 1)
    if min(len(left), len(right)) >= 2 and (same or prod(right[:-2]) == 1):
        return None
    return Refusal(Reason.SHAPE, f"TT-NN does not broadcast {list(left)} and {list(right)}; expand them first")


@rule("aten.mm.default", "aten.bmm.default", "aten.matmul.default", guard=all_of(floats_only, _one_batch))
def matmul(b: Builder, node: fx.Node) -> str:
    left, right = arguments(node)
    target = "ttnn.linear" if b.is_constant(right) and value(right).ndim == 2 else "ttnn.matmul"
    return b.op(target, b.tensor(left), b.tensor(right))


def _one(argument: Any) -> int:
    return int(argument[0]) if isinstance(argument, list | tuple) else int(argument)


def _convolution(node: fx.Node) -> tuple[Any, ...]:
    """(x, weight, bias, stride, padding, dilation, groups) of either overload."""
    if str(node.target) == "aten.convolution.default":
        x, weight, bias, stride, padding, dilation, _, _, groups = arguments(node)
        return x, weight, bias, stride, padding, dilation, groups
    defaults = (None, None, None, (1,), (0,), (1,), 1)
    return (*arguments(node), *defaults[len(arguments(node)) :])


def _plain_conv1d(node: fx.Node) -> Refusal | None:
    x, weight, *_ = _convolution(node)
    if value(x).ndim != 3 or value(weight).ndim != 3:
        return Refusal(Reason.SHAPE, "only convolutions over one dimension are lowered")
    if str(node.target) == "aten.convolution.default" and arguments(node)[6]:
        return Refusal(Reason.ARGUMENT, "transposed convolutions are not lowered")
    return None


@rule("aten.conv1d.default", "aten.convolution.default", guard=all_of(floats_only, _plain_conv1d))
def conv1d(b: Builder, node: fx.Node) -> str:
    """PyTorch has channels before time, TT-NN after it: the permutations cancel between neighbours."""
    x, weight, bias, stride, padding, dilation, groups = _convolution(node)
    batch, channels, length = value(x).shape
    outputs, _, kernel = value(weight).shape
    rows = b.cast(b.op("ttnn.permute", b.tensor(x), dims=(0, 2, 1)), layout=Layout.ROW_MAJOR)
    result = b.op(
        "ttnn.conv1d",
        rows,
        b.tensor(weight, layout=_ROWS),
        keywords={"bias_tensor": _bias(b, bias, 4, _ROWS)},
        in_channels=channels,
        out_channels=outputs,
        batch_size=batch,
        input_length=length,
        kernel_size=kernel,
        stride=_one(stride),
        padding=_one(padding),
        dilation=_one(dilation),
        groups=groups,
    )
    made = value(node).shape
    result = b.op("ttnn.reshape", result, shape=(made[0], made[2], made[1]))
    return b.op("ttnn.permute", result, dims=(0, 2, 1))


_ROWS = Layout.ROW_MAJOR


def _ids(b: Builder, argument: fx.Node) -> str:
    """Indices as the rows of 32-bit numbers without sign that TT-NN looks up."""
    return _as_ids(b, b.tensor(argument, DType.UINT32, _ROWS))


def _as_ids(b: Builder, name: str) -> str:
    name, shape = b.cast(name, DType.UINT32, _ROWS), b.spec(name).shape
    return name if len(shape) == 2 else b.op("ttnn.reshape", name, shape=(1, prod(shape)))


def _float_table(node: fx.Node) -> Refusal | None:
    if value(node).dtype in FLOATS:
        return None
    return Refusal(Reason.DTYPE, "only tables of floating point are looked up on the device")


@rule("aten.embedding.default", guard=_float_table)
def embedding(b: Builder, node: fx.Node) -> str:
    weight, ids = arguments(node)[:2]
    found = b.op("ttnn.embedding", _ids(b, ids), b.tensor(weight, layout=_ROWS), layout=Layout.TILE)
    return found if value(ids).ndim == 2 else b.op("ttnn.reshape", found, shape=tuple(value(node).shape))


def _rows_of_a_table(node: fx.Node) -> Refusal | None:
    table, indices = arguments(node)
    if len(indices) == 1 and value(table).ndim == 2 and value(indices[0]).dtype in INTEGERS:
        return None
    return Refusal(Reason.ARGUMENT, "only whole rows of a table of two dimensions can be looked up on the device")


@rule("aten.index.Tensor", guard=all_of(_rows_of_a_table, _float_table))
def index(b: Builder, node: fx.Node) -> str:
    """Indices below zero count from the end: they are moved up by the rows there are, into the table's second copy."""
    table, (ids,) = arguments(node)
    if b.is_constant(table):
        twice = b.constant(b.at_setup("aten.cat.default", (b.places[table],) * 2), layout=_ROWS)
    else:
        twice = b.op("ttnn.concat", *(b.tensor(table, layout=_ROWS),) * 2, dim=0)
    moved = b.op("ttnn.add", b.tensor(ids, DType.INT32, _ROWS), other=value(table).shape[0])
    found = b.op("ttnn.embedding", _as_ids(b, moved), twice, layout=Layout.TILE)
    return b.op("ttnn.reshape", found, shape=tuple(value(node).shape))
