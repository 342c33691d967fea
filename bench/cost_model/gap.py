"""What lies between the estimate and the floor of a projection, and what other programs or software would save.

The first is an account: each second of the difference has one cause, so that the causes add up to it. The second is a
list of alternatives, each projected alone; they overlap, and do not add up. All of it is *projected*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from ttscribe.compiler.operations.operation import Family
from ttscribe.compiler.passes.precision import choose_precision
from ttscribe.compiler.program import DType, Op, Program, Role, Value
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.reports.constants import Chip, Software
from ttscribe.reports.projection import FIRST_TOKEN, WITHOUT_TIMESTAMPS, OperationTime, Projection, project

OTHERS = "others"
_NAMED = (Family.MATMUL, Family.ATTENTION, Family.CONVOLUTION)


def _family(each: OperationTime) -> str:
    """What a call is to a cause: a family of the matrix engine's, or one of the others."""
    return each.family.value if each.family in _NAMED else OTHERS


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a call takes longer than its floor: the seconds of it, and the change that would close it.

    ``limit`` and ``families`` restrict the cause to calls that meet that limit of the chip, and to such calls.
    """

    name: str
    seconds: Callable[[OperationTime, Chip], float]
    change: str
    limit: str | None = None
    families: tuple[str, ...] = (*(family.value for family in _NAMED), OTHERS)

    def applies(self, each: OperationTime) -> bool:
        return self.limit in (None, each.limit) and _family(each) in self.families


def _small_product(each: OperationTime, chip: Chip) -> float:
    return min(each.launch_s, each.device_operations * chip.small_product.value)


def _beyond_small_product(each: OperationTime, chip: Chip) -> float:
    return each.launch_s - _small_product(each, chip)


def _excess(each: OperationTime, _chip: Chip) -> float:
    return each.excess_s


def _below_peak(each: OperationTime, _chip: Chip) -> float:
    return each.device_s - each.floor_s


_SLOW_DRAM = "slower than the DRAM benchmark"
_HOST, _HOST_CHANGE = "the host", "compute a window's features while the card runs the one before"
CAUSES = (
    Cause(
        "overhead beyond a small product's",
        _beyond_small_product,
        "replay a trace, from a second command queue; let no step wait for the host",
    ),
    Cause(
        "overhead of a small product",
        _small_product,
        "fewer operations: norms and residuals into products, heads into attention",
    ),
    Cause(
        "slower than a large product",
        _excess,
        "program configurations fitted to each shape; activations sharded in L1 from call to call",
        limit="compute",
    ),
    Cause(
        _SLOW_DRAM,
        _excess,
        "weights sharded over the DRAM banks, with a reader next to each, instead of interleaved",
        limit="dram",
        families=(Family.MATMUL.value, Family.CONVOLUTION.value),
    ),
    Cause(
        _SLOW_DRAM,
        _excess,
        "operands and results in L1; caches sharded over the DRAM banks",
        limit="dram",
        families=(Family.ATTENTION.value, OTHERS),
    ),
    Cause("a large product below peak", _below_peak, "none: tt-metal's own tuned product", limit="compute"),
    Cause("the DRAM benchmark below peak", _below_peak, "none: tt-metal's own reader benchmark", limit="dram"),
)


@dataclass(frozen=True, slots=True)
class Gap:
    """Seconds that one cause costs one family of calls of a program, and the change that would save them.

    ``figure`` is "TTFT" or "step"; ``share`` is of that figure's estimate less its floor, 0 to 1.
    """

    figure: str
    program: str
    family: str
    device_operations: int
    cause: str
    seconds: float
    share: float
    change: str


def gaps(projection: Projection) -> list[Gap]:
    """What separates TTFT and a step from their floors, the greatest of each first."""
    first = _gaps(projection, "TTFT", FIRST_TOKEN, projection.software.host_s)
    return [*first, *_gaps(projection, "step", projection.next_token)]


def _gaps(projection: Projection, figure: str, names: Sequence[str], host_s: float = 0.0) -> list[Gap]:
    found = [gap for name in names for gap in _of_program(projection, figure, name)]
    if host_s:
        found.append(Gap(figure, "", "", 0, _HOST, host_s, 0.0, _HOST_CHANGE))
    total = sum(gap.seconds for gap in found)
    return [replace(gap, share=gap.seconds / total) for gap in sorted(found, key=lambda gap: -gap.seconds)]


def _of_program(projection: Projection, figure: str, name: str) -> Iterator[Gap]:
    calls: dict[tuple[Cause, str], list[OperationTime]] = defaultdict(list)
    for each, cause in product(projection.programs[name], CAUSES):
        if cause.applies(each):
            calls[cause, _family(each)].append(each)
    for (cause, family), group in calls.items():
        seconds = sum(cause.seconds(each, projection.chip) for each in group)
        launched = sum(each.device_operations for each in group)
        if seconds > 0:
            yield Gap(figure, name, family, launched, cause.name, seconds, 0.0, cause.change)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another program for the same model, or other software for the same program."""

    name: str
    program: Callable[[Program], Program] = lambda program: program
    software: Callable[[Software, Chip], Software] = lambda software, _chip: software


@dataclass(frozen=True, slots=True)
class Saving:
    """Seconds that an alternative saves of TTFT and of a step, at the estimate and at the floor."""

    alternative: str
    ttft_s: float
    ttft_floor_s: float
    step_s: float
    step_floor_s: float


def _with(program: Program, **changes: Any) -> Program:
    """The program under its own policy with ``changes``."""
    return choose_precision(program, CompileSettings(replace(policy(program.precision), **changes)))


def _bfloat8_weights(program: Program) -> Program:
    return _with(program, weights=DType.BFLOAT8_B)


def _hifi2(program: Program) -> Program:
    return _with(program, fidelity="HiFi2")


def _bfloat8_hifi2(program: Program) -> Program:
    return choose_precision(program, CompileSettings(policy("bfp8-hifi2")))


def _bfloat8_vocabulary(program: Program) -> Program:
    """The weights of the widest product in bfloat8_b, where a program has a table of words to be the width of."""
    products = [op for op in program.ops if op.target == "ttnn.linear"]
    looked_up = {op.operands[1] for op in program.ops if op.target == "ttnn.embedding"}
    if not looked_up:
        return program
    widest: Op = max(products, key=lambda op: op.output.spec.shape[-1])
    return retyped(program, {widest.operands[1]}, DType.BFLOAT8_B)


def _bfloat8_cross_attention(program: Program) -> Program:
    names = {value.name for value in program.inputs_of(Role.STATE) if "cross_attention" in value.name}
    return retyped(program, names, DType.BFLOAT8_B)


def retyped(program: Program, names: set[str], dtype: DType) -> Program:
    """The program with these inputs and constants in another element type, to be projected and not to be run."""

    def changed(value: Value) -> Value:
        return replace(value, spec=replace(value.spec, dtype=dtype)) if value.name in names else value

    constants = tuple(replace(constant, value=changed(constant.value)) for constant in program.constants)
    return replace(program, inputs=tuple(map(changed, program.inputs)), constants=constants)


def small_overhead(software: Software, chip: Chip) -> Software:
    """Software whose operations take, beside their work, no longer than a small product does."""
    return replace(software, overhead_s=min(software.overhead_s, chip.small_product.value))


ALTERNATIVES = (
    Alternative("weights in bfloat8_b", _bfloat8_weights),
    Alternative("products and attention at HiFi2", _hifi2),
    Alternative("weights in bfloat8_b, and HiFi2", _bfloat8_hifi2),
    Alternative("only the vocabulary's weights in bfloat8_b", _bfloat8_vocabulary),
    Alternative("keys and values of cross-attention in bfloat8_b", _bfloat8_cross_attention),
    Alternative("overhead of a small product", software=small_overhead),
    Alternative("no slowdown", software=lambda software, _chip: replace(software, slowdown=1.0)),
)


def savings(programs: Mapping[str, Program], chip: Chip, software: Software) -> list[Saving]:
    """What each alternative saves, the greatest part of TTFT or of a step first."""
    base = project(programs, chip, software, WITHOUT_TIMESTAMPS)
    found = [_saving(base, alternative, programs) for alternative in ALTERNATIVES]
    return sorted(found, key=lambda each: -max(each.ttft_s / base.ttft_s.estimate, each.step_s / base.step_s.estimate))


def _saving(base: Projection, alternative: Alternative, programs: Mapping[str, Program]) -> Saving:
    changed = {name: alternative.program(program) for name, program in programs.items()}
    after = project(changed, base.chip, alternative.software(base.software, base.chip), base.next_token)
    return Saving(
        alternative.name,
        base.ttft_s.estimate - after.ttft_s.estimate,
        base.ttft_s.floor - after.ttft_s.floor,
        base.step_s.estimate - after.step_s.estimate,
        base.step_s.floor - after.step_s.floor,
    )
