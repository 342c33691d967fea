"""Look-ups by index: rows of a table, and rows of a cache replaced at positions that are themselves a tensor."""

from math import prod

from torch import fx

from ttscribe.compiler.lowering.builder import Builder
from ttscribe.compiler.lowering.guards import FLOATS, INTEGERS, all_of, arguments, value
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import DType, Layout, Reason
from ttscribe.compiler.settings import CompileSettings


def _ids(b: Builder, argument: fx.Node) -> str:
    """Indices as the rows of 32-bit numbers without sign that TT-NN looks up."""
    return _as_ids(b, b.tensor(argument, DType.UINT32, Layout.ROW_MAJOR))


def _as_ids(b: Builder, name: str) -> str:
    # TT-NN 0.81.1 refuses int32 ids.
    name, shape = b.cast(name, DType.UINT32, Layout.ROW_MAJOR), b.spec(name).shape
    return name if len(shape) == 2 else b.op("ttnn.reshape", name, shape=(1, prod(shape)))


def _float_table(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    if value(node).dtype in FLOATS:
        return None
    return Refusal(Reason.DTYPE, "only tables of floating point are looked up on the device")


@rule("aten.embedding.default", guard=_float_table)
def embedding(b: Builder, node: fx.Node) -> str:
    weight, ids = arguments(node)[:2]
    rows = b.op("ttnn.embedding", _ids(b, ids), b.tensor(weight, layout=Layout.ROW_MAJOR), layout=Layout.TILE)
    return rows if value(ids).ndim == 2 else b.op("ttnn.reshape", rows, shape=tuple(value(node).shape))


def _rows_of_a_table(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    table, indices = arguments(node)
    if len(indices) == 1 and value(table).ndim == 2 and value(indices[0]).dtype in INTEGERS:
        return None
    return Refusal(Reason.ARGUMENT, "only whole rows of a table of two dimensions can be looked up on the device")


@rule("aten.index.Tensor", guard=all_of(_rows_of_a_table, _float_table))
def index(b: Builder, node: fx.Node) -> str:
    """Indices below zero count from the end: they are moved up by the rows there are, into the table's second copy."""
    table, (ids,) = arguments(node)
    if b.is_known(table):
        twice = b.device_constant(b.at_setup("aten.cat.default", (b.places[table],) * 2), layout=Layout.ROW_MAJOR)
    else:
        twice = b.op("ttnn.concat", *(b.tensor(table, layout=Layout.ROW_MAJOR),) * 2, dim=0)
    moved = b.op("ttnn.add", b.tensor(ids, DType.INT32, Layout.ROW_MAJOR), other=value(table).shape[0])
    rows = b.op("ttnn.embedding", _as_ids(b, moved), twice, layout=Layout.TILE)
    return b.op("ttnn.reshape", rows, shape=tuple(value(node).shape))


def _one_table(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    table, dim = value(arguments(node)[0]), arguments(node)[1]
    if table.ndim >= 2 and dim % table.ndim == table.ndim - 2 and prod(table.shape[:-2]) == 1:
        return None
    return Refusal(Reason.ARGUMENT, "only whole rows of one table can be selected on the device")


@rule("aten.index_select.default", guard=all_of(_one_table, _float_table))
def index_select(b: Builder, node: fx.Node) -> str:
    """Indices are not below zero, which PyTorch refuses."""
    table, _, ids = arguments(node)
    rows = b.tensor(table, layout=Layout.ROW_MAJOR)
    if len(b.spec(rows).shape) > 2:
        rows = b.op("ttnn.reshape", rows, shape=tuple(value(table).shape[-2:]))
    selected = b.op("ttnn.embedding", _ids(b, ids), rows, layout=Layout.TILE)
    return b.op("ttnn.reshape", selected, shape=tuple(value(node).shape))


def _float_rows(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    if value(node).dtype in FLOATS and value(node).ndim == 4:
        return None
    return Refusal(Reason.DTYPE, "only floating-point caches [batch, heads, length, width] are written on the device")


def _every_row(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
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
    # ttnn.scatter takes an index for each element.
    wide = b.op("ttnn.expand", b.op("ttnn.reshape", b.tensor(index), shape=unit), shape=shape)
    return b.op("ttnn.scatter", b.tensor(cache), wide, b.tensor(new), dim=dim)
