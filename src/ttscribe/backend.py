"""Any module on a device that runs programs: ``ttscribe.compile``, and the backend "ttnn" of ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from functorch.compile import make_boxed_func
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd
from torch.utils import _pytree as pytree

from ttscribe.compiler.blocklist import Blocklist
from ttscribe.compiler.capture.dynamo import captured
from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.compilation import Compiled, Settings, compile_graph
from ttscribe.compiler.passes import DEFAULT_POLICY, policy
from ttscribe.compiler.report import CompileReport
from ttscribe.devices import open_program_device
from ttscribe.errors import CompileError, OptionError

OPTIONS = ("device", "strict", "precision", "blocklist", "report")


def backend(
    module: fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    options: Mapping[str, Any] | None = None,
    mode: str | None = None,
) -> Callable[..., Any]:
    """The backend "ttnn" of ``torch.compile``.

    ``options``: ``device`` ("emulator"), ``precision`` (a policy's name), ``strict`` (an operation left on the host is
    an error), ``blocklist`` (a Blocklist, or the path of one), ``report`` (called with the CompileReport of each graph).
    """
    if mode is not None:
        raise OptionError('backend "ttnn" has no modes; pass options={"precision": ...} instead')
    given = dict(options or {})
    if unknown := sorted(set(given) - set(OPTIONS)):
        raise OptionError(f'backend "ttnn" has no option {", ".join(unknown)}; there is {", ".join(OPTIONS)}')
    compiler = _Compiler(given)
    return aot_autograd(fw_compiler=_refuse_training, inference_compiler=compiler)(module, example_inputs)  # type: ignore[no-any-return]


def _refuse_training(module: fx.GraphModule, example_inputs: Sequence[Any]) -> Callable[..., Any]:
    raise CompileError('backend "ttnn" is for inference: call the model under torch.no_grad() or inference_mode()')


class _Compiler:
    """Compiles the graphs of one ``torch.compile`` call, as AOTAutograd gives them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.device = options.get("device", "emulator")
        self.report: Callable[[CompileReport], object] | None = options.get("report")
        blocklist = options.get("blocklist") or Blocklist()
        if not isinstance(blocklist, Blocklist):
            blocklist = Blocklist.read(blocklist)
        precision = policy(options.get("precision", DEFAULT_POLICY))
        self.settings = Settings(precision, bool(options.get("strict", False)), blocklist)

    def __call__(self, module: fx.GraphModule, example_inputs: Sequence[Any]) -> Callable[..., Any]:
        compiled = compile_graph(captured(module), self.settings)
        if self.report is not None:
            self.report(compiled.report)
        order = tuple(node.name for node in module.graph.nodes if node.op == "placeholder")
        return make_boxed_func(_Runner(compiled, self.device, order))  # type: ignore[no-any-return]


class _Runner:
    """Runs a compiled graph; loads the weights at the first call, and again should they change."""

    def __init__(self, compiled: Compiled, device: str, order: tuple[str, ...]) -> None:
        self.compiled = compiled
        self.device = device
        self.order = order
        self._loaded: Any = None
        self._version: tuple[tuple[int, int], ...] = ()

    def __call__(self, *arguments: Any) -> list[Any]:
        given = dict(zip(self.order, arguments, strict=True))
        params = {value.name: given[value.name].detach() for value in self.compiled.program.params}
        version = tuple((tensor.data_ptr(), tensor._version) for tensor in params.values())
        if self._loaded is None or version != self._version:
            self._loaded, self._version = self._load(params), version
        return list(self._loaded(*(given[value.name] for value in self.compiled.program.inputs)))

    def _load(self, params: Mapping[str, Tensor]) -> Any:
        program = self.compiled.program
        with torch.no_grad():
            return open_program_device(self.device, program.precision).load(program, params)


class CompiledModule:
    """A compiled module; call it with tensors like those that it was compiled with."""

    def __init__(self, compiled: Compiled, device: str, inputs: pytree.TreeSpec, outputs: pytree.TreeSpec) -> None:
        self.program = compiled.program
        self.report = compiled.report
        self._inputs, self._outputs = inputs, outputs
        params = {name: data for name, data in compiled.params.items() if data is not None}
        self._loaded = open_program_device(device, compiled.program.precision).load(compiled.program, params)

    def __call__(self, *arguments: Any) -> Any:
        """Run; arguments that the module changed in place are changed."""
        flat, structure = pytree.tree_flatten(arguments)
        if structure != self._inputs:
            raise CompileError("the arguments have another structure than those that the module was compiled with")
        self._check(flat)
        results = self._loaded(*flat)
        return pytree.tree_unflatten(list(results), self._outputs)

    def _check(self, flat: Sequence[Any]) -> None:
        """A program is never run on another signature than its own."""
        for value, given in zip(self.program.inputs, flat, strict=True):
            if not isinstance(given, Tensor):
                continue
            spec: Any = value.spec
            if tuple(given.shape) != spec.shape or str(given.dtype) != f"torch.{spec.dtype}":
                raise CompileError(
                    f"{value.name} was compiled as {spec.dtype}{list(spec.shape)}, "
                    f"not {str(given.dtype).removeprefix('torch.')}{list(given.shape)}; compile again for that"
                )


def compile(  # noqa: A001
    module: nn.Module,
    example_inputs: Sequence[Any],
    *,
    device: str = "emulator",
    precision: str = DEFAULT_POLICY,
    strict: bool = False,
    blocklist: Blocklist | None = None,
) -> CompiledModule:
    """Compile any module for inference through ``torch.export``.

    Args:
        module: called as ``module(*example_inputs)``; weights are constants from now on.
        example_inputs: give the shapes and element types, which are fixed from now on.
        device: "emulator".
        precision: a policy's name, such as "bf16-hifi4" or "exact".
        strict: raise FallbackRefused where an operation would stay in PyTorch.
        blocklist: operations to keep in PyTorch.

    Raises:
        CompileError: the module cannot be exported, or not as asked.
    """
    settings = Settings(policy(precision), strict, blocklist or Blocklist())
    name = type(module).__name__
    try:
        named = {f"input_{index}": argument for index, argument in enumerate(example_inputs)}
        captured = capture_method(name, module, module.forward, named, on_device=False)
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError, ValueError, TypeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise CompileError(f"{name} cannot be exported: {first}") from error
    with torch.no_grad():
        _, outputs = pytree.tree_flatten(module(*example_inputs))
    _, inputs = pytree.tree_flatten(tuple(example_inputs))
    return CompiledModule(compile_graph(captured, settings), device, inputs, outputs)
