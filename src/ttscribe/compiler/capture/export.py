"""Capture through ``torch.export``: weights are constants, mutated inputs are state."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.program import Role
from ttscribe.errors import CompileError

_CONSTANT = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


class _Forward(nn.Module):
    """A method of a module as a module of its own, as ``torch.export`` wants it."""

    def __init__(self, module: nn.Module, method: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self._method = method

    def forward(self, *arguments: Any) -> Any:
        return self._method(*arguments)


def capture_method(
    name: str,
    module: nn.Module,
    method: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    on_device: bool = True,
    roles: Mapping[str, Role] | None = None,
) -> CapturedGraph:
    """Capture ``method(*arguments.values())`` of ``module``.

    The arguments, by the names that the program's inputs get, give shapes and dtypes and may be nested in tuples;
    ``roles`` says what each is for, by the same names: every tensor of a nest has its role.

    Raises CompileError for a module that changes buffers of its own.
    """
    with torch.no_grad():
        exported = torch.export.export(_Forward(module, method), tuple(arguments.values()))
        # An empty table keeps linear, attention, layer norm and convolution whole, and makes mutation functional.
        exported = exported.run_decompositions({})
    return _from_exported(name, exported, tuple(arguments), roles or {}, on_device=on_device)


def _from_exported(
    name: str,
    exported: ExportedProgram,
    argument_names: Sequence[str],
    roles: Mapping[str, Role],
    *,
    on_device: bool,
) -> CapturedGraph:
    # Tensors that are written in the traced code are constants, and not in the state dict.
    signature, tensors = exported.graph_signature, {**exported.state_dict, **exported.constants}
    placeholders = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    params: dict[str, Tensor | None] = {}
    inputs: dict[str, Role] = {}
    renamed = {}
    for spec in signature.input_specs:
        old = spec.arg.name
        node = placeholders[old]
        argument, readable = _readable(old, spec.target, argument_names)
        node._rename(readable)  # noqa: SLF001 - fx offers no other way
        renamed[old] = node.name
        if spec.kind in _CONSTANT:
            params[node.name] = tensors[spec.target].detach()
        else:
            inputs[node.name] = roles.get(argument, Role.ARGUMENT)
    (output,) = (node for node in exported.graph.nodes if node.op == "output")
    outputs, mutations = [], {}
    for spec, node in zip(signature.output_specs, output.args[0], strict=True):
        # run_decompositions has made each write in place an output, and the signature says which input takes it.
        if spec.kind is OutputKind.USER_INPUT_MUTATION:
            mutations[renamed[spec.target]] = node
        elif spec.kind is OutputKind.USER_OUTPUT:
            outputs.append(node)
        else:
            raise CompileError(f"{name} changes its own buffer {spec.target}; pass it as an argument instead")
    return CapturedGraph(name, exported.graph, params, tuple(inputs), tuple(outputs), mutations, on_device, inputs)


def _readable(name: str, target: str | None, argument_names: Sequence[str]) -> tuple[str, str]:
    """The argument that a placeholder is part of, and a name for it without the exporter's numbering.

    A weight is no part of an argument, and has its own path.
    """
    if target is not None:
        return "", target.removeprefix("module.").replace(".", "_")
    # torch.export calls them after forward's parameter and the place in the nest: arguments_2_self_attention_0_key.
    _, number, *rest = name.split("_", 2)
    argument = argument_names[int(number)]
    return argument, "_".join([argument, *rest])
