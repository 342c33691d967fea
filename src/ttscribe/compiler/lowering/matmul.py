"""Linear layers, matrix products, convolution, embedding: everything that multiplies by weights."""

from typing import Any

from torch import fx

from ttscribe.compiler.lowering.builder import Builder
from ttscribe.compiler.lowering.guards import all_of, arguments, floats_only, rank_at_least, value
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import DType, Layout, Reason


def _bias(b: Builder, argument: Any) -> str | None:
    """A bias as the row that TT-NN adds to every row of the product."""
    if argument is None:
        return None
    place = b.places[argument]
    if b.is_constant(argument):
        return b.constant(b.at_setup("aten.reshape.default", place, (1, value(argument).shape[-1])))
    return b.op("ttnn.reshape", b.tensor(argument), shape=(1, value(argument).shape[-1]))


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
    if value(bias).ndim == 1:
        return b.op("ttnn.linear", b.tensor(x), b.tensor(weight), keywords={"bias": _bias(b, bias)})
    product = b.op("ttnn.matmul", b.tensor(x), b.tensor(weight))
    return b.op("ttnn.add", product, b.tensor(bias))


@rule("aten.mm.default", "aten.bmm.default", "aten.matmul.default", guard=all_of(floats_only, rank_at_least(2)))
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
    shaped = None
    if bias is not None:
        shaped = b.constant(b.at_setup("aten.reshape.default", b.places[bias], (1, 1, 1, outputs)), layout=_ROWS)
    result = b.op(
        "ttnn.conv1d",
        rows,
        b.tensor(weight, layout=_ROWS),
        keywords={"bias_tensor": shaped},
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
    ids = b.tensor(argument, DType.UINT32, _ROWS)
    return ids if value(argument).ndim == 2 else b.op("ttnn.reshape", ids, shape=(1, value(argument).numel()))


@rule("aten.embedding.default")
def embedding(b: Builder, node: fx.Node) -> str:
    weight, ids = arguments(node)[:2]
    found = b.op("ttnn.embedding", _ids(b, ids), b.tensor(weight, layout=_ROWS), layout=Layout.TILE)
    return found if value(ids).ndim == 2 else b.op("ttnn.reshape", found, shape=tuple(value(node).shape))


def _rows_of_a_table(node: fx.Node) -> Refusal | None:
    table, indices = arguments(node)
    if len(indices) == 1 and value(table).ndim == 2 and value(indices[0]).dtype.is_floating_point is False:
        return None
    return Refusal(Reason.ARGUMENT, "only whole rows of a table of two dimensions can be looked up on the device")


@rule("aten.index.Tensor", guard=all_of(_rows_of_a_table))
def index(b: Builder, node: fx.Node) -> str:
    table, (ids,) = arguments(node)
    found = b.op("ttnn.embedding", _ids(b, ids), b.tensor(table, layout=_ROWS), layout=Layout.TILE)
    return b.op("ttnn.reshape", found, shape=tuple(value(node).shape))
