"""What can be checked: a Whisper model's programs, or the graphs that ``torch.compile`` makes of any module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from functorch.compile import make_boxed_func
from torch import fx, nn
from torch._dynamo.backends.common import aot_autograd

from ttscribe.check.run import Checkable
from ttscribe.compiler.capture.dynamo import captured
from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.compilation import Compiled, compile_graph
from ttscribe.compiler.program import TensorSpec
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.devices.ttnn.weights import Recipes, place_in_memory
from ttscribe.errors import CompileError
from ttscribe.whisper.model import WhisperModel


def checkable(compiled: Compiled) -> Checkable:
    """A compiled program, its constants told apart by what they are made from."""
    program = compiled.program
    # A weight that is not known before the program runs may be any: graphs name theirs alike and share none.
    params = {
        name: f"{program.name} {name}" if tensor is None else place_in_memory(tensor)
        for name, tensor in compiled.params.items()
    }
    recipes = Recipes(program, params)
    keys = {}
    for constant in program.constants:
        assert isinstance(constant.value.spec, TensorSpec)
        keys[constant.value.name] = recipes.key(constant.source, constant.value.spec)
    return Checkable(program, keys)


def checkable_whisper(
    model: WhisperModel, settings: CompileSettings, programs: Sequence[str] = PROGRAMS
) -> list[Checkable]:
    """The programs of a Whisper model, of any weights: a check reads shapes only."""
    return [checkable(compile_graph(capture_program(name, model), settings)) for name in programs]


def module_programs(module: nn.Module, example_inputs: Sequence[Any], settings: CompileSettings) -> list[Checkable]:
    """The programs of every graph that ``torch.compile`` makes while ``module(*example_inputs)`` runs on the CPU.

    Raises CompileError where it makes none: nothing is validated then.
    """
    graphs = capture_calls(module, lambda compiled: compiled(*example_inputs))
    if not graphs:
        name = type(module).__name__
        raise CompileError(f"torch.compile makes no graph of {name}: all of it would stay in PyTorch")
    return [checkable(compile_graph(captured, settings)) for captured in graphs]


def capture_calls(module: nn.Module, call: Callable[[Any], object]) -> list[CapturedGraph]:
    """Every graph that ``torch.compile`` makes of ``module`` while ``call(module)`` runs on the CPU, named in order."""
    return _captured_while(module, call, None)


def capture_runs(module: nn.Module, call: Callable[[Any], object]) -> list[tuple[CapturedGraph, Mapping[str, Any]]]:
    """As ``capture_calls``, each graph with its weights, and with what the first call of it was given, by name."""
    given: dict[str, Mapping[str, Any]] = {}
    found = _captured_while(module, call, given)
    ran = [(graph, given[graph.name]) for graph in found if graph.name in given]
    return [
        (replace(graph, params={name: known.get(name, data) for name, data in graph.params.items()}), known)
        for graph, known in ran
    ]


def _captured_while(
    module: nn.Module, call: Callable[[Any], object], given: dict[str, Mapping[str, Any]] | None
) -> list[CapturedGraph]:
    """Graphs; ``given``, if any, gets copies of the arguments of each one's first call, by the graph's name."""
    found: list[CapturedGraph] = []

    def collect(graph: fx.GraphModule, _examples: Sequence[Any]) -> Callable[..., Any]:
        made = replace(captured(graph), name=f"graph_{len(found)}")
        found.append(made)
        names = [node.name for node in graph.graph.nodes if node.op == "placeholder"]

        def run(*arguments: Any) -> Any:
            if given is not None and made.name not in given:
                given[made.name] = {name: _copy(each) for name, each in zip(names, arguments, strict=True)}
            return graph.forward(*arguments)

        return make_boxed_func(run)  # type: ignore[no-any-return]

    compile_aot = aot_autograd(fw_compiler=collect, inference_compiler=collect)
    torch._dynamo.reset()  # noqa: SLF001 - what was compiled before is not captured again
    # In place, so that calls from within, as of generate(), are captured too.
    module.compile(backend=compile_aot)
    try:
        with torch.no_grad():
            call(module)
    finally:
        module._compiled_call_impl = None  # noqa: SLF001 - there is no public way back
    return found


def _copy(argument: Any) -> Any:
    """An argument as it was when the call began; weights are not copied, for inference does not change them."""
    copied = isinstance(argument, torch.Tensor) and not isinstance(argument, nn.Parameter)
    return argument.clone() if copied else argument
