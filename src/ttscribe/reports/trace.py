"""The operation trace: every ATen operation with every variation of its inputs, and what became of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.compilation import Compiled, compile_graph
from ttscribe.compiler.host import target_name
from ttscribe.compiler.operations import FREES, MOVES_IN, MOVES_OUT
from ttscribe.compiler.program import Op
from ttscribe.compiler.settings import CompileSettings
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.evaluation.correlation import correlation
from ttscribe.reports.schema import Variation

# An isolated run of a larger operation would take minutes and tell nothing that a smaller one does not.
_MOST_ELEMENTS = 1 << 26


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of one node."""

    program: str
    node: fx.Node
    status: str
    calls: tuple[str, ...] = ()
    reason: str | None = None


def trace(compiled: Sequence[Compiled], settings: CompileSettings, *, isolated: bool = True) -> tuple[Variation, ...]:
    """Every variation in all graphs, by operation; ``isolated`` runs each lowered one alone on the emulator."""
    fates: dict[tuple[str, str], list[_Fate]] = defaultdict(list)
    for fate in (fate for program in compiled for fate in _fates(program)):
        fates[target_name(fate.node), _inputs(fate.node)].append(fate)
    return tuple(_variation(*key, alike, settings if isolated else None) for key, alike in sorted(fates.items()))


def _variation(target: str, inputs: str, fates: Sequence[_Fate], settings: CompileSettings | None) -> Variation:
    runs = any(fate.status in ("lowered", "fused") for fate in fates)
    return Variation(
        target,
        inputs,
        tuple(dict.fromkeys(fate.program for fate in fates)),
        dict(sorted(Counter(fate.status for fate in fates).items())),
        dict(sorted(Counter(call for fate in fates for call in fate.calls).items())),
        tuple(dict.fromkeys(fate.reason for fate in fates if fate.reason is not None)),
        _isolated(fates[-1].node, settings) if runs and settings is not None else None,
    )


def _fates(compiled: Compiled) -> Iterator[_Fate]:
    name = compiled.program.name
    kept = {fallback.node: fallback for fallback in compiled.lowered.fallbacks}
    # What setup makes is named as the nodes are that it computes at load.
    constant = {op.output.name for op in compiled.lowered.setup}
    calls = _calls_by_source(compiled.program.ops)
    for node in compiled.captured.graph.nodes:
        if node.op != "call_function" or target_name(node) == "operator.getitem":
            continue
        if (fallback := kept.get(node.name)) is not None:
            status = "blocked" if fallback.reason.value == "blocked" else "host"
            yield _Fate(name, node, status, reason=f"{fallback.reason.value}: {fallback.sentence}")
        elif node.name in constant or node.name not in calls:
            yield _Fate(name, node, "constant" if node.name in constant else "removed")
        else:
            own = [op for op in calls[node.name] if op.source[0] == node.name]
            targets = tuple(op.target for op in own or calls[node.name])
            yield _Fate(name, node, "lowered" if own else "fused", targets)


def _calls_by_source(ops: Sequence[Op]) -> dict[str, list[Op]]:
    calls: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        if op.target not in (MOVES_IN, MOVES_OUT, FREES):
            for name in op.source:
                calls[name].append(op)
    return calls


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


def _isolated(node: fx.Node, settings: CompileSettings) -> float | None:
    """The operation alone: compiled with the same settings, on the emulator, beside float32 PyTorch."""
    if any(map(_is_unsuitable, (*node.all_input_nodes, node))):
        return None
    generator = torch.Generator().manual_seed(0)
    inputs = {source.name: _example(source.meta["val"], generator) for source in node.all_input_nodes}
    compiled = compile_graph(_alone(node, inputs), replace(settings, strict=False))
    if compiled.program.host_segments:
        return None
    (ours,) = EmulatedDevice(exact=settings.precision.exact).load(compiled.program, {})(*inputs.values())
    bound = fx.node.map_arg((node.args, node.kwargs), lambda argument: inputs[argument.name])
    theirs = node.target(*bound[0], **bound[1])  # type: ignore[operator]
    pcc = correlation(ours, theirs)
    # Processors add up in different orders: beyond six figures a report would tell of its machine.
    return None if pcc is None else round(pcc, 6)


def _alone(node: fx.Node, inputs: dict[str, Tensor]) -> CapturedGraph:
    """A graph of this node, with placeholders of its inputs' names for what it is ``given``."""
    graph = fx.Graph()
    placeholders = {name: graph.placeholder(name) for name in inputs}
    for name, made in placeholders.items():
        made.meta["val"] = inputs[name]
    copied = graph.node_copy(node, lambda argument: placeholders[argument.name])
    graph.output((copied,))
    return CapturedGraph("alone", graph, {}, tuple(inputs), (copied,))


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
