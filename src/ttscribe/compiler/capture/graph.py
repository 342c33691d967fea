"""What a capture gives the lowering, whichever door it came through."""

from dataclasses import dataclass, field

from torch import Tensor, fx

from ttscribe.compiler.program import Role


@dataclass(frozen=True)
class CapturedGraph:
    """A functional ATen graph: no mutation inside, every node's result described by ``node.meta["val"]``.

    ``params`` are placeholders that are constant (weights, buffers, literals), with their data where it is known
    already. ``inputs`` are the other placeholders, in call order; ``roles`` says what they are for, arguments where it
    is silent. ``on_device`` says whether a call passes its tensors as device tensors (our own programs) or as host
    tensors (any module through ``torch.compile``). ``mutations`` maps an input to the node whose value it takes when
    the call ends.
    """

    name: str
    graph: fx.Graph
    params: dict[str, Tensor | None]
    inputs: tuple[str, ...]
    outputs: tuple[fx.Node | int | float | bool | None, ...]
    mutations: dict[str, fx.Node] = field(default_factory=dict)
    on_device: bool = False
    roles: dict[str, Role] = field(default_factory=dict)
