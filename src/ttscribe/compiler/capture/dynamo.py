"""Capture through ``torch.compile(model, backend="ttnn")``: AOTAutograd's inference graph of any module."""

from __future__ import annotations

from torch import Tensor, fx
from torch._guards import TracingContext

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.capture.recover import recover
from ttscribe.compiler.capture.tokens import take_tokens_out
from ttscribe.errors import CompileError


def captured(module: fx.GraphModule) -> CapturedGraph:
    """An AOTAutograd inference graph: weights are its constant inputs, and what changes is among its outputs.

    Raises CompileError for control flow as data (``torch.cond`` and its like), which no program holds.
    """
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    tokens = take_tokens_out(module.graph)
    constant = _constant_inputs(len(placeholders), len(tokens))
    weights = [node for index, node in enumerate(placeholders) if index in constant]
    params: dict[str, Tensor | None] = {node.name: None for node in weights if isinstance(node.meta["val"], Tensor)}
    recover(module.graph, set(weights))
    params |= {node.name: _literal(module, node) for node in module.graph.nodes if node.op == "get_attr"}
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    inputs = tuple(node.name for node in placeholders if node.name not in params and node not in tokens)
    return CapturedGraph("graph", module.graph, params, inputs, tuple(output.args[0]))


def _constant_inputs(count: int, tokens: int) -> set[int]:
    """Indices of parameters and buffers that the graph does not change; tokens come before all arguments."""
    # Weights are inputs of the graph like any other: only AOTAutograd's records, which are private, tell them apart.
    context = TracingContext.try_get()
    metadata = None if context is None else context.fw_metadata
    # Where inputs share memory AOTAutograd joins them, and its indices are no longer those of the graph.
    if metadata is None or len(metadata.input_info) + tokens != count:
        return set()
    # Static are parameters, buffers, and what torch._dynamo.mark_static_address was called with: Hugging Face's static
    # cache among them, which changes with every call.
    changed = {index for index, info in enumerate(metadata.input_info, tokens) if info.mutates_data}
    return set(metadata.static_input_indices) - changed


def _literal(module: fx.GraphModule, node: fx.Node) -> Tensor:
    """A tensor written in the traced code."""
    literal = getattr(module, str(node.target))
    if not isinstance(literal, Tensor):
        raise CompileError(f"{node.target} is control flow as data, as of torch.cond; write it in Python instead")
    node.meta["val"] = literal
    return literal
