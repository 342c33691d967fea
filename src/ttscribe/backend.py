"""Any module on a device that runs programs: ``ttscribe.compile``, and the backend "ttnn" of ``torch.compile``.

``generate`` of Hugging Face's models calls the encoder by itself, then the model for each token. It is also the one
method that ``torch.compile(model)`` hands on to the model as it was, so compile both in place::

    options = {"precision": "exact", "report": print}
    model.get_encoder().compile(backend="ttnn", options=options)
    model.compile(backend="ttnn", options=options)
    model.generate(features, cache_implementation="static")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import torch
from functorch.compile import make_boxed_func
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.exc import TorchDynamoException
from torch.utils import _pytree as pytree
from torch.utils.weak import TensorWeakRef

from ttscribe.compiler.blocklist import Blocklist
from ttscribe.compiler.capture.dynamo import captured
from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.capture.layouts import MemoryLayout, ResultLayouts
from ttscribe.compiler.compilation import Compiled, compile_graph
from ttscribe.compiler.program import Program
from ttscribe.compiler.report import CompileReport
from ttscribe.compiler.settings import DEFAULT_POLICY, CompileSettings, policy
from ttscribe.devices import open_program_device, require_values
from ttscribe.devices.programs import LoadedProgram, ProgramDevice
from ttscribe.errors import CompileError, OptionError

OPTIONS = ("device", "strict", "precision", "blocklist", "model", "report")


def backend(
    module: fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    options: Mapping[str, Any] | None = None,
    mode: str | None = None,
) -> Callable[..., Any]:
    """The backend "ttnn" of ``torch.compile``; for inference, under ``torch.no_grad()`` or ``torch.inference_mode()``.

    ``options``: ``device`` ("emulator", or "ttnn" for a card), ``precision`` (a policy's name), ``strict`` (an
    operation left on the host is an error), ``blocklist`` (a Blocklist, or the path of one), ``model`` (the name that
    the blocklist's entries for certain models are compared with), ``report`` (called with the CompileReport of each
    graph, whose ``ledger`` then counts what runs).

    Weights are held by the device. Where one is replaced or changed in place it is moved there again; only writes
    through ``.data``, which PyTorch itself does not see, go unnoticed. Results lie in memory as eager's do, and views
    of an argument are views of it.

    Raises OptionError, CompileError, FallbackRefused, or DeviceUnavailable (for a mock board too, which computes
    nothing); ``torch.compile`` hands each on as the ``inner_exception`` of a BackendCompilerFailed, with its text.
    """
    if mode is not None:
        raise OptionError('backend "ttnn" has no modes; pass options={"precision": ...} instead')
    compiler = _Compiler.with_options(options or {})
    # AOTAutograd asks the first only where something requires a gradient, and splits the graph for it.
    compile_aot = aot_autograd(fw_compiler=_refuse_training, inference_compiler=compiler)
    return compile_aot(module, example_inputs)


def _refuse_training(_module: fx.GraphModule, _example_inputs: Sequence[Any]) -> Callable[..., Any]:
    raise CompileError('backend "ttnn" is for inference: call the model under torch.no_grad() or inference_mode()')


@dataclass(frozen=True)
class _Compiler:
    """Compiles the graphs of one ``torch.compile`` call, as AOTAutograd gives them."""

    device: ProgramDevice
    settings: CompileSettings
    report: Callable[[CompileReport], object]

    @classmethod
    def with_options(cls, options: Mapping[str, Any]) -> _Compiler:
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise OptionError(f'backend "ttnn" has no option {", ".join(unknown)}; there is {", ".join(OPTIONS)}')
        precision = policy(options.get("precision", DEFAULT_POLICY))
        blocklist = options.get("blocklist", Blocklist())
        if not isinstance(blocklist, Blocklist):
            blocklist = Blocklist.read(blocklist)
        # Dynamo's graphs have no names: only the caller can say which entries of a list for several models are meant.
        blocklist = replace(blocklist, model=str(options.get("model", blocklist.model)))
        report = options.get("report", _ignore)
        if not callable(report):
            raise OptionError(f"option report is called with each CompileReport; {report!r} cannot be called")
        name = options.get("device", "emulator")
        require_values(name)
        device = open_program_device(name, precision.name)
        return cls(
            device, CompileSettings(precision, strict=bool(options.get("strict", False)), blocklist=blocklist), report
        )

    def __call__(self, module: fx.GraphModule, _example_inputs: Sequence[Any]) -> Callable[..., Any]:
        graph = captured(module)
        compiled = compile_graph(graph, self.settings)
        self.report(compiled.report)
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        layouts = ResultLayouts(placeholders, graph.outputs)
        order = tuple(node.name for node in placeholders)
        # Boxed: AOTAutograd passes one list of arguments, which a compiled function may empty to free them early.
        return make_boxed_func(_Runner(compiled, self.device, order, layouts))  # type: ignore[no-any-return]


def _ignore(_report: CompileReport) -> None:
    pass


class _Runner:
    """Runs a compiled graph; loads weights when they first come, and again should they change.

    Instances of one class share a graph, and each has weights of its own.
    """

    def __init__(
        self,
        compiled: Compiled,
        device: ProgramDevice,
        order: tuple[str, ...],
        layouts: ResultLayouts,
    ) -> None:
        self.compiled = compiled
        self.device = device
        self.order = order
        self.layouts = layouts
        self._loads: list[_Load] = []

    def __call__(self, *arguments: Any) -> list[Any]:
        program = self.compiled.program
        values = {**self.compiled.params, **dict(zip(self.order, arguments, strict=True))}
        weights = [values[value.name] for value in program.params]
        load = next((load for load in self._loads if load.has(weights)), None) or self._load(weights)
        layouts = self.layouts(*arguments)
        results = load.program(*(values[value.name] for value in program.inputs))
        return _given_away(program, results, layouts, arguments)

    def _load(self, weights: Sequence[Tensor]) -> _Load:
        """Load these weights; others that have changed, or whose module is gone, make room for them."""
        self._loads = [load for load in self._loads if load.lasts]
        program = self.compiled.program
        held = tuple(_Held.of(weight) for weight in weights)
        with torch.no_grad():
            params = {value.name: weight.detach() for value, weight in zip(program.params, weights, strict=True)}
            loaded = self.device.load(program, params)
        loaded.ledger = self.compiled.report.ledger
        self._loads.append(_Load(loaded, held))
        return self._loads[-1]


def _given_away(
    program: Program, results: Sequence[Any], layouts: Sequence[MemoryLayout | None] = (), arguments: Sequence[Any] = ()
) -> list[Any]:
    """Results in memory of their own that lie as ``layouts`` say; views of an argument are that."""
    fresh = {op.output.name for op in program.ops if op.target == "ttnn.to_torch"}
    own: list[Any] = []
    for name, result, layout in zip_longest(program.outputs, results, layouts):
        # What came from the device is nobody else's, unless it is given twice.
        if layout is not None and layout.argument is not None:
            own.append(layout.view(arguments[layout.argument], result.shape))
        else:
            own.append(_own(result, layout, fresh=name in fresh) if isinstance(result, Tensor) else result)
        fresh.discard(name)
    return own


def _own(result: Tensor, layout: MemoryLayout | None, *, fresh: bool) -> Tensor:
    if fresh and (layout is None or layout.of(result)):
        return result
    return result.clone() if layout is None else layout.copied(result)


@dataclass(frozen=True)
class _Held:
    """A weight as it was when it was loaded; the module owns it."""

    reference: TensorWeakRef
    address: int
    strides: tuple[int, ...]
    version: int
    copy: Tensor | None

    @classmethod
    def of(cls, weight: Tensor) -> _Held:
        """Tensors made in inference mode count no versions: what they hold is compared instead."""
        # PyTorch counts every write in place, so that autograd notices it.
        version, copy = (0, weight.clone()) if weight.is_inference() else (weight._version, None)  # noqa: SLF001
        return cls(TensorWeakRef(weight), weight.data_ptr(), weight.stride(), version, copy)

    @property
    def weight(self) -> Tensor | None:
        """The weight, while there is one."""
        weight: Tensor | None = self.reference()
        return weight

    def is_still(self, weight: Tensor) -> bool:
        """Whether ``weight`` is this one, and as it was."""
        same = weight is self.weight and (weight.data_ptr(), weight.stride()) == (self.address, self.strides)
        if not same or weight.is_inference() != (self.copy is not None):
            return False
        if self.copy is not None:
            return torch.equal(weight, self.copy)
        return weight._version == self.version  # noqa: SLF001


@dataclass(frozen=True)
class _Load:
    """A program on the device with one module's weights."""

    program: LoadedProgram
    held: tuple[_Held, ...]

    def has(self, weights: Sequence[Tensor]) -> bool:
        """Whether these are the weights, as they are now."""
        return all(held.is_still(weight) for held, weight in zip(self.held, weights, strict=True))

    @property
    def lasts(self) -> bool:
        """Whether its weights are there still, and as they were."""
        return all((weight := held.weight) is not None and held.is_still(weight) for held in self.held)


class CompiledModule:
    """A compiled module; call it with arguments like those that it was compiled with."""

    def __init__(
        self, compiled: Compiled, device: ProgramDevice, example_inputs: tuple[Any, ...], outputs: pytree.TreeSpec
    ) -> None:
        self.program = compiled.program
        self.report = compiled.report
        flat, self._inputs = pytree.tree_flatten(example_inputs)
        self._signatures = [_signature(example) for example in flat]
        self._outputs = outputs
        # Copies: the module's own weights may change later, and these are constants.
        params = {name: data.detach().clone() for name, data in compiled.params.items() if data is not None}
        self._loaded = device.load(compiled.program, params)
        self._loaded.ledger = compiled.report.ledger

    def __call__(self, *arguments: Any) -> Any:
        """Run; arguments that the module changes in place are changed.

        Raises CompileError for arguments of another shape, element type or value than a program was compiled for.
        """
        # torch.export numbers a program's inputs in this order.
        flat, structure = pytree.tree_flatten(arguments)
        if structure != self._inputs:
            raise CompileError("the arguments have another structure than those that the module was compiled with")
        for index, (argument, expected) in enumerate(zip(flat, self._signatures, strict=True)):
            if (signature := _signature(argument)) != expected:
                raise CompileError(
                    f"argument {index} was compiled as {expected}, not {signature}; compile again for that"
                )
        results = _given_away(self.program, self._loaded(*flat))
        return pytree.tree_unflatten(results, self._outputs)


def _signature(argument: Any) -> str:
    if not isinstance(argument, Tensor):
        return repr(argument)
    return f"{str(argument.dtype).removeprefix('torch.')}{[*argument.shape]}"


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
        device: "emulator", or "ttnn" for a card ("ttnn:n150": and it must be that board).
        precision: a policy's name, such as "bf16-hifi3" or "exact".
        strict: raise FallbackRefused where an operation would stay in PyTorch.
        blocklist: operations to keep in PyTorch, and the name of the model for which its entries are.

    Raises:
        CompileError: the module cannot be exported, or not as asked. DeviceUnavailable: no such device is here, or it
            is a mock board, which computes nothing (``ttscribe check`` is for that). OptionError: no such policy.
    """
    require_values(device)
    settings = CompileSettings(policy(precision), strict=strict, blocklist=blocklist or Blocklist())
    name = type(module).__name__
    try:
        named = {f"input_{index}": argument for index, argument in enumerate(example_inputs)}
        graph = capture_method(name, module, module.forward, named, on_device=False)
    except (TorchDynamoException, RuntimeError, ValueError, TypeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise CompileError(f"{name} cannot be exported: {first}") from error
    # The module runs once for the structure of its results, and may write to its arguments.
    copies = pytree.tree_map_only(Tensor, torch.clone, tuple(example_inputs))
    with torch.no_grad():
        _, outputs = pytree.tree_flatten(module(*copies))
    opened = open_program_device(device, settings.precision.name)
    return CompiledModule(compile_graph(graph, settings), opened, tuple(example_inputs), outputs)
