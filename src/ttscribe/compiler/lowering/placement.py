"""Host affinity: which nodes that could be lowered stay on the host all the same."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from ttscribe.compiler.lowering.guards import FLOATS, tensors
from ttscribe.compiler.lowering.registry import Refusal
from ttscribe.compiler.program import Reason

_HOST_AFFINE = Refusal(
    Reason.DTYPE, "whole numbers that the host makes and the host reads stay there, exact to 64 bits"
)


def apply_host_affinity(nodes: Sequence[fx.Node], refusals: dict[fx.Node, Refusal | None]) -> None:
    """Refuse what computes whole numbers out of the host's for the host: the device has 32 bits for them."""
    affine = {node for node in nodes if refusals[node] is None and not _has_floats(node)}
    reached = [node for node in nodes if refusals[node] is None and node not in affine]
    while reached:
        node = reached.pop()
        strays = affine.intersection((*node.all_input_nodes, *node.users))
        affine -= strays
        reached += strays
    refusals.update(dict.fromkeys((node for node in nodes if node in affine), _HOST_AFFINE))


def _has_floats(node: fx.Node) -> bool:
    return any(tensor.dtype in FLOATS for tensor in tensors((*node.args, *node.kwargs.values(), node)))
