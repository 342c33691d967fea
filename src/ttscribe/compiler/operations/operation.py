"""The record of one TT-NN operation: all that is known of it, for whoever compiles, checks, costs or emulates it.

What TT-NN accepts and returns, and how many device operations a call launches, were tried call by call with TT-NN
0.81.1's own host code on a mock n150; ``tests/compiler/operations/answers.txt`` holds the answers. Counts for calls
beside those (mixed layouts, running sums, look-ups) are what the same paths give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import prod
from typing import Any, TypeAlias

from torch import Tensor

from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.program import TILE_SIZE, Attribute, Config, DType, HostSpec, Layout, Op, Ref, Spec, TensorSpec

# Elements that share exponents exist in tiles only: an untilized tensor of these is bfloat16.
BLOCK_DTYPES = (DType.BFLOAT8_B, DType.BFLOAT4_B)


class SpecError(ValueError):
    """TT-NN would refuse the call; one sentence says why."""


# Inputs are device tensors but for ttnn.from_torch; outputs but for ttnn.to_torch.
Specs: TypeAlias = Sequence[Any]
InferSpecs: TypeAlias = Callable[[Op, Specs], tuple[Spec, ...]]
Count: TypeAlias = Callable[[Op, Specs, Specs], int]
Emulate: TypeAlias = Callable[[Call], Tensor | tuple[Tensor, ...]]


class Family(str, Enum):
    """What kind of work an operation is: the one classification, also the name of its file here and of its rules'."""

    MATMUL = "matmul"
    CONVOLUTION = "convolution"
    ATTENTION = "attention"
    NORMALISATION = "normalisation"
    POINTWISE = "pointwise"
    REDUCTION = "reduction"
    MOVEMENT = "movement"
    LOOKUP = "lookup"
    STATE = "state"
    TRANSFER = "transfer"


class Extent(Enum):
    """How far an element of a result reaches into the first operand: what may be moved past the operation."""

    ELEMENT = "element"  # to the element in its own place: any move may be done before or after
    ROW = "row"  # to the row in its own place: leading dimensions may be regrouped
    TENSOR = "tensor"  # further


def none(_op: Op, _inputs: Specs, _outputs: Specs) -> int:
    """No FLOPs, or no device operation."""
    return 0


def one(_op: Op, _inputs: Specs, _outputs: Specs) -> int:
    """One device operation."""
    return 1


def per_output_element(_op: Op, _inputs: Specs, outputs: Specs) -> int:
    """One FLOP for each element of the first output."""
    return elements(outputs[0])


def per_input_element(_op: Op, inputs: Specs, _outputs: Specs) -> int:
    """One FLOP for each element of the first input."""
    return elements(inputs[0])


@dataclass(frozen=True, slots=True)
class Kernel:
    """How an operation's arithmetic is configured.

    ``attribute`` is the keyword that takes TT-NN's compute kernel configuration; ``fidelity`` None where the precision
    policy decides. ``on_grid`` says that the call also takes a core grid, without which TT-NN launches its activation
    by itself, after it.
    """

    attribute: str = "compute_kernel_config"
    fidelity: str | None = None
    on_grid: bool = False


# What does not depend on the policy: sums are kept in 32 bits, with which HiFi4 gives wrong elements now and then on
# Wormhole (tt-metal issue 38306).
BEST_FIDELITY = "HiFi3"


@dataclass(frozen=True, slots=True)
class Operation:
    """The record of one TT-NN operation.

    Calls: ``operands`` is how few and how many tensors go by position (at most None: any number); ``keywords`` names
    the tensors that go by keyword, ``attributes`` all other arguments but for the ``positional`` ones, which a call
    takes by position after the operands. Where TT-NN's order is another, ``operand_names`` are what operands from
    ``named_from`` on are called, in order; a name that an attribute has taken is skipped. A ``variadic`` operation
    takes its operands as one list.

    Results: ``infer_specs`` turns a call and its inputs' specs into its outputs' specs. ``mutates`` are indices of
    operands that are written in place; ``into`` is the keyword that names a tensor for the first result, which the call
    then does not make; ``into_list`` says how many tensors that keyword lists, where it takes a list. From
    ``host_operands`` on, tensors stay on the host, where TT-NN prepares them itself. ``extent`` says what a result's
    element depends on; ``moves_values`` that results hold nothing but what inputs hold already.

    Cost: ``device_operations`` counts launches. On the matrix engine each element of a result sums ``terms`` products,
    ``products`` times over; ``flops`` counts the arithmetic of all other operations.

    Arithmetic: ``kernel`` is how it is configured, None where nothing can be; ``stated`` are other arguments that
    decide it, with what compiled programs say on every call, for TT-NN's own defaults differ between operations and
    versions; ``emulate`` computes the call on the CPU.
    """

    name: str
    family: Family
    infer_specs: InferSpecs
    operands: tuple[int, int | None] = (1, 1)
    keywords: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    operand_names: tuple[str, ...] = ()
    named_from: int = 1
    variadic: bool = False
    mutates: tuple[int, ...] = ()
    into: str | None = None
    into_list: int = 0
    host_operands: int | None = None
    extent: Extent = Extent.TENSOR
    moves_values: bool = False
    device_operations: Count = one
    terms: Count | None = None
    products: int = 1
    flops: Count = none
    kernel: Kernel | None = None
    stated: tuple[tuple[str, Attribute], ...] = ()
    emulate: Emulate | None = None

    def infer(self, op: Op, specs: Specs) -> tuple[Spec, ...]:
        """Specs of the outputs, from those of ``op.inputs`` in order; raises SpecError where TT-NN would refuse."""
        self._check_arguments(op)
        destination = None if self.into is None else keyword_spec(op, specs, self.into)
        if destination is None:
            return self.infer_specs(op, specs)
        without = replace(op, keywords=tuple(item for item in op.keywords if item[0] != self.into))
        parameters = (*op.operands, *(key for key, _ in op.keywords))
        rest = [spec for spec, parameter in zip(specs, parameters, strict=True) if parameter != self.into]
        results: Sequence[Any] = self.infer_specs(without, rest)
        made, *others = results
        # The list names one tensor for all results: what others hold would be written over the first.
        empty = not self.into_list or not any(map(elements, others))
        require(empty, f"{self.name} writes into one tensor only where its other results hold nothing")
        same = (made.shape, made.dtype, made.layout) == (destination.shape, destination.dtype, destination.layout)
        require(same, f"{self.name} cannot write {made} into {destination}")
        return ()

    def flop_count(self, op: Op, inputs: Specs, outputs: Specs) -> int:
        """Floating-point operations of a call; a multiply-add is two."""
        if self.terms is None:
            return self.flops(op, inputs, outputs)
        return 2 * self.products * elements(outputs[0]) * self.terms(op, inputs, outputs)

    def written(self, op: Op) -> list[str]:
        """Names of the tensors that a call writes in place."""
        into = op.keyword(self.into) if self.into is not None else None
        return [op.operands[index] for index in self.mutates] + ([] if into is None else [into])

    def prepared_on_host(self, op: Op) -> tuple[str, ...]:
        """Names of the tensors that stay on the host for TT-NN to prepare."""
        return () if self.host_operands is None else op.inputs[self.host_operands :]

    def call(self, op: Op) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of the TT-NN call by position and by keyword, tensors as Refs (a variadic list as one list)."""
        tensors: list[Any] = [Ref(name) for name in op.operands]
        named = self._named_operands(op)
        attributes = dict(op.attributes)
        keywords: dict[str, Any] = {name: Ref(tensor) for name, tensor in (*named.items(), *op.keywords)}
        if self.into_list and self.into in keywords:
            # TT-NN ignores a list of another length without a word, and gives new tensors.
            keywords[self.into] = [keywords[self.into]] * self.into_list
        front = [tensors] if self.variadic else tensors[: len(tensors) - len(named)]
        behind = [attributes.pop(name) for name in self.positional if name in attributes]
        return [*front, *behind], {**keywords, **attributes}

    def _named_operands(self, op: Op) -> dict[str, str]:
        """The operands that a call takes by keyword."""
        attributes = dict(op.attributes)
        free = [name for name in self.operand_names if name not in attributes]
        return dict(zip(free, op.operands[self.named_from :], strict=False))

    def _check_arguments(self, op: Op) -> None:
        fewest, most = self.operands
        if len(op.operands) < fewest or (most is not None and len(op.operands) > most):
            raise SpecError(f"{self.name} does not take {len(op.operands)} tensors by position")
        known = {*self.keywords, *self.attributes, *self.positional, *dict(self.stated), self.into}
        names = [name for name, _ in (*op.keywords, *op.attributes)]
        if unknown := [name for name in names if name not in known]:
            raise SpecError(f"{self.name} has no argument {', '.join(unknown)}")


def elements(spec: TensorSpec) -> int:
    """How many elements a tensor has, padding not counted."""
    return prod(spec.shape)


def require(condition: bool, sentence: str) -> None:
    """Raise SpecError with ``sentence`` unless ``condition`` holds."""
    if not condition:
        raise SpecError(sentence)


def keyword_spec(op: Op, specs: Specs, parameter: str) -> Any:
    """The spec of the tensor passed as ``parameter``, or None."""
    names = [name for name, _ in op.keywords]
    return specs[len(op.operands) + names.index(parameter)] if parameter in names else None


def result(op: Op, like: TensorSpec, shape: Sequence[int], **changes: Any) -> TensorSpec:
    """A tensor of ``shape`` otherwise as ``like``, with ``changes``, and over both what the call's attributes say."""
    # Unless told, TT-NN puts most results where the first operand is; products, attention and joins go to DRAM wherever
    # their operands are, and their rules say so.
    spec = replace(like, shape=tuple(shape), **changes)
    asked: dict[str, Any] = {
        "dtype": op.attribute("dtype"),
        "memory": op.attribute("memory_config"),
        "layout": op.attribute("layout"),
    }
    spec = replace(spec, **{name: value for name, value in asked.items() if value is not None})
    tile = spec.dtype not in BLOCK_DTYPES or spec.layout is Layout.TILE
    require(tile, f"{op.target} cannot give {spec.dtype.value} in row-major layout")
    return spec


def same_as_input(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    """The rule of operations whose result has their one input's shape, and its form but for what attributes say."""
    (x,) = specs
    return (result(op, x, x.shape),)


def broadcast(op: Op, *shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that ``shapes`` broadcast to, as in torch."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes), strict=True)
    return tuple(_common(op, sizes, shapes) for sizes in columns)


def _common(op: Op, sizes: tuple[int, ...], shapes: Sequence[Sequence[int]]) -> int:
    others = {size for size in sizes if size != 1}
    require(len(others) <= 1, f"{op.target} cannot broadcast {' and '.join(str(tuple(s)) for s in shapes)}")
    return others.pop() if others else 1


def fused_activation(op: Op) -> Config | None:
    """The activation in a product's program configuration, as a UnaryWithParam."""
    config: Config | None = op.attribute("program_config")
    return None if config is None else dict(config.fields).get("fused_activation")  # type: ignore[return-value]


def activation_to_fuse(op: Op) -> Config | None:
    """A product's activation as its program configuration has it, or is to have it in place of the call's own.

    GELU's parameter says that it is the exact one.
    """
    name = op.attribute("activation")
    if name is None:
        return fused_activation(op)
    parameter = (("param", 0.0),) if name == "gelu" else ()
    return Config("UnaryWithParam", (("op", name.upper()), *parameter))


def reshape_is_free(old: TensorSpec, shape: Sequence[int]) -> bool:
    """Whether the same bytes are a tensor of ``shape``: the last dimension stays, and no tile padding moves."""
    before, after = ((1, 1, *sizes)[-2:] for sizes in (old.shape, shape))
    if before[1] != after[1]:
        return False
    # [2, 5, 64] in tiles has padding after each 5 rows, which [10, 64] has nowhere; [2, 32, 64] has none.
    aligned = before[0] % TILE_SIZE == 0 and after[0] % TILE_SIZE == 0
    return old.layout is Layout.ROW_MAJOR or before[0] == after[0] or aligned


def reshape_device_operations(old: TensorSpec, shape: Sequence[int]) -> int:
    """How many a reshape launches: none where the bytes stay, or else one.

    Block formats go through bfloat16 and back, and have their padding cleared on the way.
    """
    if reshape_is_free(old, shape):
        return 0
    return 3 + tile_padded(replace(old, shape=tuple(shape))) if old.dtype in BLOCK_DTYPES else 1


def tile_padded(spec: TensorSpec) -> bool:
    """Whether tiles hold more than the tensor's elements."""
    return prod(spec.padded_shape) != prod(spec.shape)


def dimension(op: Op, dim: int, rank: int) -> int:
    """``dim`` counted from the front; raises SpecError when a tensor of ``rank`` has no such dimension."""
    require(-rank <= dim < rank, f"{op.target} has no dimension {dim} in a tensor of rank {rank}")
    return dim % rank


def require_tile(op: Op, *specs: TensorSpec) -> None:
    """Raise SpecError where one of ``specs`` is not in tile layout."""
    for spec in specs:
        require(spec.layout is Layout.TILE, f"{op.target} takes tensors in tile layout, not {spec.layout.value}")


def require_float(op: Op, *specs: TensorSpec) -> None:
    """Raise SpecError where one of ``specs`` holds integers."""
    for spec in specs:
        require(spec.dtype.floating, f"{op.target} takes floating-point tensors, not {spec.dtype.value}")


def require_rank(op: Op, spec: TensorSpec | HostSpec, *ranks: int) -> None:
    """Raise SpecError where the number of dimensions is none of ``ranks``."""
    wanted = " or ".join(map(str, ranks))
    require(len(spec.shape) in ranks, f"{op.target} takes a tensor of rank {wanted}, not {len(spec.shape)}")
