"""The operation trace: every ATen operation with every variation of its inputs, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.compilation import Settings, compile_graph, compile_stages
from ttscribe.compiler.lowering.registry import target_name
from ttscribe.compiler.program import Fallback, Op, Program
from ttscribe.devices.emulator import EmulatedDevice

# An isolated run of a larger operation would take minutes and tell nothing that a smaller one does not.
_MOST_ELEMENTS = 1 << 26
_MOVES = ("ttnn.from_torch", "ttnn.to_torch", "ttnn.deallocate")


@dataclass(frozen=True, slots=True)
class Variation:
    """One ATen operation on inputs of one form, over all programs.

    ``inputs`` is the call's arguments, tensors by element type and shape (symbolic sizes by name). ``statuses`` counts
    what became of it: "lowered" (TT-NN calls of its own), "fused" (part of another's), "removed" (needs no call),
    "constant" (computed once at load), "host", "blocked". ``calls`` are the TT-NN calls that it became or went into;
    ``reasons`` why it stays on the host. ``pcc`` is Pearson's correlation of the operation alone on the emulator with
    float32 PyTorch on seeded normal inputs, under the policy: absent where it was not run alone.
    """

    target: str
    inputs: str
    programs: tuple[str, ...]
    statuses: tuple[tuple[str, int], ...]
    calls: tuple[tuple[str, int], ...]
    reasons: tuple[str, ...]
    pcc: float | None

    @property
    def count(self) -> int:
        """How many nodes have this form."""
        return sum(count for _, count in self.statuses)

    @property
    def on_host(self) -> bool:
        return any(status in ("host", "blocked") for status, _ in self.statuses)


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of one node."""

    program: str
    status: str
    calls: tuple[str, ...]
    reason: str | None


def trace(graphs: Sequence[CapturedGraph], settings: Settings, *, isolated: bool = True) -> list[Variation]:
    """Every variation in ``graphs``, by operation; ``isolated`` runs each lowered one alone on the emulator."""
    fates: dict[tuple[str, str], list[_Fate]] = {}
    examples: dict[tuple[str, str], fx.Node] = {}
    for captured in graphs:
        stages = dict(compile_stages(captured, settings))
        lowered, final = stages["lowered"], list(stages.values())[-1]
        for node, fate in _fates(captured, lowered, final):
            key = (target_name(node), _inputs(node))
            fates.setdefault(key, []).append(fate)
            examples.setdefault(key, node)
    return [
        _variation(*key, found, _isolated(examples[key], settings) if isolated and _runs(found) else None)
        for key, found in sorted(fates.items())
    ]


def _variation(target: str, inputs: str, found: Sequence[_Fate], pcc: float | None) -> Variation:
    return Variation(
        target,
        inputs,
        tuple(dict.fromkeys(fate.program for fate in found)),
        tuple(sorted(Counter(fate.status for fate in found).items())),
        tuple(sorted(Counter(call for fate in found for call in fate.calls).items())),
        tuple(dict.fromkeys(fate.reason for fate in found if fate.reason is not None)),
        pcc,
    )


def _runs(found: Sequence[_Fate]) -> bool:
    return any(fate.status in ("lowered", "fused") for fate in found)


def _fates(captured: CapturedGraph, lowered: Program, final: Program) -> Iterator[tuple[fx.Node, _Fate]]:
    kept = {fallback.node: fallback for fallback in lowered.fallbacks}
    constant = _constants(captured, lowered)
    calls = _calls_by_source(final)
    for node in captured.graph.nodes:
        if node.op != "call_function" or target_name(node) == "operator.getitem":
            continue
        yield node, _fate(captured.name, node, kept.get(node.name), calls.get(node.name, []), node.name in constant)


def _fate(program: str, node: fx.Node, kept: Fallback | None, calls: Sequence[Op], constant: bool) -> _Fate:
    if kept is not None:
        status = "blocked" if kept.reason.value == "blocked" else "host"
        return _Fate(program, status, (), f"{kept.reason.value}: {kept.sentence}")
    if constant:
        return _Fate(program, "constant", (), None)
    if not calls:
        return _Fate(program, "removed", (), None)
    own = [op for op in calls if op.source[0] == node.name]
    return _Fate(program, "lowered" if own else "fused", tuple(op.target for op in own or calls), None)


def _calls_by_source(program: Program) -> dict[str, list[Op]]:
    found: dict[str, list[Op]] = {}
    for op in program.ops:
        if op.target not in _MOVES:
            for name in op.source:
                found.setdefault(name, []).append(op)
    return found


def _constants(captured: CapturedGraph, lowered: Program) -> set[str]:
    """Nodes computed at load: what setup makes is called as the nodes are."""
    made = {op.output.name for op in lowered.setup}
    return {node.name for node in captured.graph.nodes if node.name in made}


def _inputs(node: fx.Node) -> str:
    keywords = [f"{name}={_shown(item)}" for name, item in node.kwargs.items()]
    return ", ".join([*map(_shown, node.args), *keywords])


def _shown(argument: Any) -> str:
    if isinstance(argument, fx.Node):
        argument = argument.meta.get("val")
    if isinstance(argument, Tensor):
        sizes = ", ".join(map(str, argument.shape))
        return f"{str(argument.dtype).removeprefix('torch.')}[{sizes}]"
    if isinstance(argument, list | tuple):
        return f"[{', '.join(map(_shown, argument))}]"
    return str(argument).removeprefix("torch.")


def _isolated(node: fx.Node, settings: Settings) -> float | None:
    """The operation alone: compiled with the same settings, on the emulator, beside float32 PyTorch."""
    graph = fx.Graph()
    generator = torch.Generator().manual_seed(0)
    given: dict[str, Tensor] = {}

    def placeholder(argument: fx.Node) -> Any:
        described = argument.meta.get("val")
        if not isinstance(described, Tensor):
            return described
        if argument.name not in given:
            given[argument.name] = _example(described, generator)
            made = graph.placeholder(argument.name)
            made.meta["val"] = given[argument.name]
        return next(each for each in graph.nodes if each.name == argument.name)

    if any(_is_unsuitable(argument) for argument in (*node.all_input_nodes, node)):
        return None
    copied = graph.node_copy(node, placeholder)
    graph.output((copied,))
    captured = CapturedGraph("alone", graph, {}, tuple(given), (copied,))
    try:
        compiled = compile_graph(captured, replace(settings, strict=False))
        if compiled.program.host_segments:
            return None
        (ours,) = EmulatedDevice(exact=settings.precision.exact).load(compiled.program, {})(*given.values())
    except RuntimeError:  # random ids may be outside a table: the emulator says so
        return None
    theirs = node.target(*_bound(node.args, given), **_bound(node.kwargs, given))  # type: ignore[operator]
    return correlation(ours, theirs)


def _is_unsuitable(node: fx.Node) -> bool:
    described = node.meta.get("val")
    if not isinstance(described, Tensor):
        return True
    return not all(isinstance(size, int) for size in described.shape) or described.numel() > _MOST_ELEMENTS


def _example(described: Tensor, generator: torch.Generator) -> Tensor:
    if described.is_floating_point():
        return torch.randn(described.shape, generator=generator, dtype=described.dtype)
    # Masks let everything through; indices are the first.
    return torch.full(described.shape, described.dtype is torch.bool, dtype=described.dtype)


def _bound(arguments: Any, given: dict[str, Tensor]) -> Any:
    return fx.node.map_arg(arguments, lambda argument: given.get(argument.name, argument.meta.get("val")))


def correlation(ours: Tensor, theirs: Tensor) -> float | None:
    """Pearson's correlation of two tensors; None where one of them does not vary or there is nothing to compare."""
    first, second = ours.double().flatten(), theirs.double().flatten()
    if first.numel() < 2 or not (first.isfinite().all() and second.isfinite().all()):
        return None
    first, second = first - first.mean(), second - second.mean()
    size = first.norm() * second.norm()
    return None if size == 0 else float(first @ second / size)
