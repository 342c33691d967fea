"""What lies between a projection and the chip's limits, call by call, and what other programs would save.

The first is an account: the seconds of all kinds of calls beyond their floors add up to the figure's. The second is a
list of alternatives, each projected alone; they overlap, and do not add up. All of it is *projected*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ttscribe.compiler.program import Config, DType, Op, Program, Role, TensorSpec, Value
from ttscribe.reports.constants import Chip
from ttscribe.reports.kernel_times import HOST, Range, added, kernel_times, total
from ttscribe.reports.schema import KernelTimes
from ttscribe.reports.work import FIRST_TOKEN, NEXT_TOKEN

FIGURES = {"TTFT": FIRST_TOKEN, "step": NEXT_TOKEN}
_LAUNCHES = "fewer operations: norms and sums into products, heads into attention"
_SHARDS = "residual, norms and products block-sharded in L1, with program configurations of their own"
# By call, and whether it is of the encoder's many rows.
_CHANGES: Mapping[tuple[str, bool], str] = {
    ("linear", True): f"{_SHARDS}; GELU by tanh",
    ("linear", False): "weights of fewer bits; the vocabulary's in shards, which do not fit in one piece",
    ("scaled_dot_product_attention", True): "chunks fitted to the grid; keys and values in bfloat8_b",
    ("scaled_dot_product_attention", False): "keys and values in bfloat8_b, of which only the window's are read",
    ("layer_norm", True): _SHARDS,
    ("layer_norm", False): "more cores than eight for a row",
    ("add", True): f"in place, in shards: {_SHARDS}",
    ("conv1d", True): "its rows in shards that the next call takes as they are",
    ("argmax", False): "of parts on many cores, then of these",
    ("to_layout", False): "logits that are made row by row",
    ("between operations", True): _LAUNCHES,
    ("between operations", False): _LAUNCHES,
}
_HEADS = "heads made and put together in L1, or within attention"
_SMALL = "fewer, or into the calls beside them"


@dataclass(frozen=True, slots=True)
class Gap:
    """Seconds beyond the floor of one kind of call, at least and at most; ``share`` is of the figure's, by the middles.

    ``figure`` is "TTFT" or "step"; ``program`` is empty for the host.
    """

    figure: str
    program: str
    call: str
    device_operations: int
    least_s: float
    most_s: float
    share: float
    change: str


def gaps(programs: Mapping[str, Program], chip: Chip) -> list[Gap]:
    """What separates TTFT and a step from their floors, the greatest of each first."""
    return [gap for figure, names in FIGURES.items() for gap in _gaps(programs, chip, figure, names)]


def _gaps(programs: Mapping[str, Program], chip: Chip, figure: str, names: Sequence[str]) -> list[Gap]:
    found = [_gap(figure, each) for name in names for each in kernel_times(programs[name], chip)]
    if names == FIRST_TOKEN:
        change = "compute a window's features while the card runs the one before"
        found.append(Gap(figure, "", "the host", 0, *HOST, 0.0, change))
    whole = sum(gap.least_s + gap.most_s for gap in found)
    shared = [replace(gap, share=(gap.least_s + gap.most_s) / whole) for gap in found]
    return sorted(shared, key=lambda gap: -gap.share)


def _gap(figure: str, each: KernelTimes) -> Gap:
    beyond = (each.least_s - each.floor_s, each.most_s - each.floor_s)
    return Gap(figure, each.program, each.call, each.device_operations, *beyond, 0.0, _change(each))


def _change(each: KernelTimes) -> str:
    of_rows = each.program in ("encode", "cross_kv")
    other = _HEADS if "heads" in each.call else _SMALL
    return _CHANGES.get((each.call, of_rows), other)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another program for the same model."""

    name: str
    program: Callable[[Program], Program]


@dataclass(frozen=True, slots=True)
class Saving:
    """Seconds of TTFT and of a step with an alternative, at least and at most."""

    alternative: str
    ttft_s: Range
    step_s: Range


def _at_hifi3(program: Program) -> Program:
    """Every call on the matrix engine at HiFi3."""
    body = [
        replace(step, attributes=_hifi3(step.attributes)) if isinstance(step, Op) else step for step in program.body
    ]
    return replace(program, body=tuple(body))


def _hifi3(attributes: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """Those of a call, or the fields of a configuration among them."""
    fields = {
        name: replace(value, fields=_hifi3(value.fields)) if isinstance(value, Config) else value
        for name, value in attributes
    }
    return tuple((name, "HiFi3" if name == "math_fidelity" else value) for name, value in fields.items())


def _bfloat16_weights(program: Program) -> Program:
    values = program.specs().items()
    narrow = {name for name, spec in values if isinstance(spec, TensorSpec) and spec.dtype is DType.BFLOAT8_B}
    return retyped(program, narrow, DType.BFLOAT16)


def _bfloat4_vocabulary(program: Program) -> Program:
    """The weights of the widest product in bfloat4_b, where a program has a table of words to be the width of."""
    products = [op for op in program.ops if op.target == "ttnn.linear"]
    looked_up = {op.operands[1] for op in program.ops if op.target == "ttnn.embedding"}
    if not looked_up:
        return program
    widest: Op = max(products, key=lambda op: op.output.spec.shape[-1])
    return retyped(program, {widest.operands[1]}, DType.BFLOAT4_B)


def _bfloat8_cross_attention(program: Program) -> Program:
    names = {value.name for value in program.inputs_of(Role.STATE) if "cross_attention" in value.name}
    return retyped(program, names, DType.BFLOAT8_B)


def retyped(program: Program, names: set[str], dtype: DType) -> Program:
    """The program with these inputs and constants in another element type, to be projected and not to be run."""

    def changed(value: Value) -> Value:
        return replace(value, spec=replace(value.spec, dtype=dtype)) if value.name in names else value

    constants = tuple(replace(constant, value=changed(constant.value)) for constant in program.constants)
    return replace(program, inputs=tuple(map(changed, program.inputs)), constants=constants)


ALTERNATIVES = (
    Alternative("weights in bfloat16", _bfloat16_weights),
    Alternative("products and attention at HiFi3", _at_hifi3),
    Alternative("the vocabulary's weights in bfloat4_b", _bfloat4_vocabulary),
    Alternative("keys and values of cross-attention in bfloat8_b", _bfloat8_cross_attention),
)


def savings(programs: Mapping[str, Program], chip: Chip) -> Iterator[Saving]:
    """TTFT and a step as they are, and with each alternative."""
    for alternative in (Alternative("as they are", lambda program: program), *ALTERNATIVES):
        first, step = (_seconds(names, programs, chip, alternative) for names in FIGURES.values())
        yield Saving(alternative.name, added(first, HOST), step)


def _seconds(names: Sequence[str], programs: Mapping[str, Program], chip: Chip, alternative: Alternative) -> Range:
    return added(*(total(kernel_times(alternative.program(programs[name]), chip), [name]) for name in names))
