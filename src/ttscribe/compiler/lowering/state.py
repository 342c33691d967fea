"""Writing into a cache: rows of a tensor replaced at positions that are themselves a tensor."""

from torch import fx

from ttscribe.compiler.lowering.builder import Builder
from ttscribe.compiler.lowering.guards import FLOATS, all_of, arguments, value
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import Reason


def _float_rows(node: fx.Node) -> Refusal | None:
    if value(node).dtype in FLOATS and value(node).ndim == 4:
        return None
    return Refusal(Reason.DTYPE, "only floating-point caches [batch, heads, length, width] are written on the device")


def _every_row(node: fx.Node) -> Refusal | None:
    if value(arguments(node)[2]).shape == value(arguments(node)[3]).shape:
        return None
    return Refusal(Reason.SHAPE, "the index covers only a part of the new rows; slice them first")


@rule("aten.scatter.src", guard=all_of(_float_rows, _every_row))
def scatter(b: Builder, node: fx.Node) -> str:
    cache, dim, index, new = arguments(node)
    return b.op("ttnn.scatter", b.tensor(cache), b.tensor(index), b.tensor(new), dim=dim)


@rule("aten.index_copy.default", guard=_float_rows)
def index_copy(b: Builder, node: fx.Node) -> str:
    """The same position for the whole batch and every head."""
    cache, dim, index, new = arguments(node)
    shape = tuple(value(new).shape)
    unit = tuple(size if axis == dim % len(shape) else 1 for axis, size in enumerate(shape))
    wide = b.op("ttnn.expand", b.op("ttnn.reshape", b.tensor(index), shape=unit), shape=shape)
    return b.op("ttnn.scatter", b.tensor(cache), wide, b.tensor(new), dim=dim)
