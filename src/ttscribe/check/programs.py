"""What can be checked: a Whisper model's programs, or the graphs that ``torch.compile`` makes of any module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    for each in program.constants:
        assert isinstance(each.value.spec, TensorSpec)
        keys[each.value.name] = recipes.key(each.source, each.value.spec)
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
    found: list[CapturedGraph] = []

    def collect(graph: fx.GraphModule, _examples: Sequence[Any]) -> Callable[..., Any]:
        found.append(replace(captured(graph), name=f"graph_{len(found)}"))
        return make_boxed_func(graph.forward)  # type: ignore[no-any-return]

    compile_aot = aot_autograd(fw_compiler=collect, inference_compiler=collect)
    torch._dynamo.reset()  # noqa: SLF001 - what was compiled before is not captured again
    module.compile(backend=compile_aot)
    try:
        with torch.no_grad():
            call(module)
    finally:
        module._compiled_call_impl = None  # noqa: SLF001 - there is no public way back
    return found
