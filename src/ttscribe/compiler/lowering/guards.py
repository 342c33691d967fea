"""Guards that hold for every ATen node, and the pieces from which rules make theirs.

A guard returns None to let the node be lowered, or a Refusal; it never raises.
"""

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from ttscribe.compiler.lowering.registry import Guard, Refusal
from ttscribe.compiler.program import Reason
from ttscribe.compiler.settings import CompileSettings

# TT-NN has no float16 and no 64-bit integers: bfloat16 and int32 stand in for other floats and integers. Not for
# float16: what exceeds 65504 is infinite there, and finite in bfloat16.
FLOATS = (torch.float32, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32, torch.uint8, torch.int16, torch.int8)
# What holds the numbers that programs compute with; narrower ones wrap where PyTorch's do not.
WIDE_INTEGERS = (torch.int64, torch.int32)
SUPPORTED = (*FLOATS, *INTEGERS, torch.bool)


def arguments(node: fx.Node) -> tuple[Any, ...]:
    """A node's positional arguments: nodes, numbers, or nests of them."""
    return node.args


def value(node: Any) -> Any:
    """What a node's result looks like: a fake tensor, a number, or a tuple of these; anything else is itself."""
    return node.meta.get("val") if isinstance(node, fx.Node) else node


def tensors(argument: Any) -> Iterator[Tensor]:
    """Every (fake) tensor in a node, an argument, or a nest of them."""
    argument = value(argument)
    if isinstance(argument, Tensor):
        yield argument
    elif isinstance(argument, list | tuple):
        for item in argument:
            yield from tensors(item)


def symbols(argument: Any) -> Iterator[Any]:
    """Every number among the arguments that is known only when the program runs."""
    described = value(argument)
    # A node may describe its result as a plain number and compute it in every run all the same.
    computed = isinstance(argument, fx.Node) and isinstance(described, int | float)
    if computed or isinstance(described, torch.SymInt | torch.SymFloat | torch.SymBool):
        yield described
    elif isinstance(described, list | tuple):
        for item in described:
            yield from symbols(item)


def is_symbolic(tensor: Tensor) -> bool:
    """Whether a size or stride of a (fake) tensor is known only when the program runs."""
    return any(isinstance(size, torch.SymInt) for size in (*tensor.shape, *tensor.stride()))


def common_guard(node: fx.Node) -> Refusal | None:
    """What no rule can take: symbolic numbers and shapes, results that are no tensors, element types, no elements."""
    arguments = (*node.args, *node.kwargs.values())
    for guard in (guard_symbolic_integer, guard_symbolic_shape, guard_result, guard_dtype, guard_empty):
        refusal = guard(node, arguments)
        if refusal is not None:
            return refusal
    return None


def guard_symbolic_integer(node: fx.Node, arguments: tuple[Any, ...]) -> Refusal | None:  # noqa: ARG001
    """Refuse arguments that are numbers known only when the program runs."""
    symbol = next(symbols(arguments), None)
    if symbol is None:
        return None
    return Refusal(
        Reason.SYMBOLIC_INTEGER,
        f"its argument {symbol} is known only when the program runs; make the shape static "
        '(for a growing cache: cache_implementation="static")',
    )


def guard_symbolic_shape(node: fx.Node, arguments: tuple[Any, ...]) -> Refusal | None:
    """Refuse tensors, read or made, whose sizes or strides are known only when the program runs."""
    symbolic = next((tensor for tensor in tensors((*arguments, node)) if is_symbolic(tensor)), None)
    if symbolic is None:
        return None
    shape = ", ".join(str(size) for size in symbolic.shape)
    return Refusal(
        Reason.SYMBOLIC_SHAPE,
        f"the shape [{shape}] is known only when the program runs; make it static "
        '(for a growing cache: cache_implementation="static")',
    )


def guard_result(node: fx.Node, arguments: tuple[Any, ...]) -> Refusal | None:  # noqa: ARG001
    """Refuse what gives anything but tensors: Python goes on with it on the host."""
    results = value(node)
    items = results if isinstance(results, list | tuple) else (results,)
    if items and all(isinstance(item, Tensor) for item in items):
        return None
    return Refusal(Reason.NOT_A_TENSOR, "its result is no tensor; the host needs it to go on")


def guard_dtype(node: fx.Node, arguments: tuple[Any, ...]) -> Refusal | None:
    """Refuse element types that have no counterpart on the device, such as float64 and complex ones."""
    unsupported = next((tensor for tensor in tensors((*arguments, node)) if tensor.dtype not in SUPPORTED), None)
    if unsupported is None:
        return None
    return Refusal(Reason.DTYPE, f"TT-NN has no {_dtype(unsupported)}; cast to float32 or bfloat16 first")


def guard_empty(node: fx.Node, arguments: tuple[Any, ...]) -> Refusal | None:
    """Refuse tensors without elements, and results without dimensions."""
    if not all(tensor.numel() for tensor in tensors((*arguments, node))):
        return Refusal(Reason.SHAPE, "a tensor with no elements has no place on the device")
    if any(tensor.ndim == 0 for tensor in tensors(node)):
        return Refusal(Reason.SHAPE, "a tensor of no dimensions is one number, which the host computes sooner")
    return None


def floats_only(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    """For rules whose TT-NN operation computes in floating point."""
    integer = next((tensor for tensor in tensors((*node.args, node)) if tensor.dtype not in FLOATS), None)
    if integer is None:
        return None
    return Refusal(
        Reason.DTYPE, f"computed for floating point only, not {_dtype(integer)}; integers stay exact on the host"
    )


def no_integer_arithmetic(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    """64-bit arithmetic would wrap at 32 bits on the device: it stays on the host, but for adding a small number."""
    if value(node).dtype in FLOATS:
        return None
    wide = all(tensor.dtype in WIDE_INTEGERS for tensor in tensors([*node.args, node]))
    other = node.args[1]
    if wide and len(node.args) == 2 and not node.kwargs and isinstance(other, int) and abs(other) < 2**20:
        return None
    return Refusal(Reason.DTYPE, "64-bit integer arithmetic would wrap at the device's 32 bits")


def only_first_result(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    """For rules of operations with further results that TT-NN does not give."""
    if all(user.target is operator.getitem and user.args[1] == 0 for user in node.users):
        return None
    return Refusal(Reason.ARGUMENT, "its log-sum-exp or statistics are used, which TT-NN does not give")


def rank_at_least(minimum: int) -> Guard:
    """A guard that refuses results of fewer dimensions."""

    def guard(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
        if all(tensor.ndim >= minimum for tensor in tensors(node)):
            return None
        return Refusal(Reason.SHAPE, f"fewer than {minimum} dimensions have no tile on the device")

    return guard


def all_of(*guards: Guard) -> Guard:
    """The first refusal of several guards."""

    def guard(node: fx.Node, settings: CompileSettings) -> Refusal | None:
        return next((refusal for check in guards if (refusal := check(node, settings)) is not None), None)

    return guard


def guard_aten_clone(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    """``aten.clone`` of a symbolic integer: where torch.compile of ``generate()`` used to die.

    The length of a growing cache is symbolic, and ATen's clone takes tensors only. pytorch2.0_ttnn blocks it for
    Whisper: its ``to_tt_guard.py`` has PyTorch's message.
    """
    symbol = next(symbols(node.args), None)
    if symbol is None:
        return None
    return Refusal(Reason.SYMBOLIC_INTEGER, f"aten.clone of the symbolic integer {symbol} has no tensor to copy")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
