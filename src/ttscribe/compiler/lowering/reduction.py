"""Sums, means, extremes, and the likeliest token."""

from functools import partial
from typing import Any

from torch import fx

from ttscribe.compiler.lowering.builder import Builder
from ttscribe.compiler.lowering.guards import all_of, arguments, floats_only, tensors, value
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import Layout, Reason
from ttscribe.compiler.settings import CompileSettings

_REDUCTIONS = {
    "aten.sum.dim_IntList": "sum",
    "aten.mean.dim": "mean",
    "aten.amax.default": "max",
    "aten.amin.default": "min",
}


def _dims(node: fx.Node) -> list[int]:
    dims: Any = arguments(node)[1] if len(arguments(node)) > 1 else None
    return [dims] if isinstance(dims, int) else list(dims or ())


def _one_dimension(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    if len(_dims(node)) == 1 and value(node).ndim:
        return None
    return Refusal(
        Reason.ARGUMENT, "reduced over one dimension at a time on the device; a single number stays on the host"
    )


def _reduce(b: Builder, node: fx.Node, *, target: str) -> str:
    keep = arguments(node)[2] if len(arguments(node)) > 2 else node.kwargs.get("keepdim", False)
    rank = value(arguments(node)[0]).ndim
    return b.op(f"ttnn.{target}", b.tensor(arguments(node)[0]), dim=_dims(node)[0] % rank, keepdim=bool(keep))


for _aten, _ttnn in _REDUCTIONS.items():
    rule(_aten, guard=all_of(floats_only, _one_dimension))(partial(_reduce, target=_ttnn))


def _last(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    x = next(tensors(arguments(node)[0]))
    dim = arguments(node)[1] if len(arguments(node)) > 1 else None
    if not x.dtype.is_floating_point:
        return Refusal(Reason.DTYPE, "the largest is found among floating-point numbers only")
    if dim is not None and dim % x.ndim == x.ndim - 1 and x.ndim > 1:
        return None
    return Refusal(Reason.ARGUMENT, "the largest is found along the last dimension only")


@rule("aten.argmax.default", guard=_last)
def argmax(b: Builder, node: fx.Node) -> str:
    """On rows rather than tiles: only there does TT-NN use all cores."""
    keep = bool(arguments(node)[2]) if len(arguments(node)) > 2 else False
    return b.op("ttnn.argmax", b.tensor(arguments(node)[0], layout=Layout.ROW_MAJOR), dim=-1, keepdim=keep)
