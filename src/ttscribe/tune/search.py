"""The search: calls that are alike, what a mock board accepts of them, and what they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ttscribe.check import Checkable, CheckReport, Finding, check_programs
from ttscribe.check.findings import AT_LOAD
from ttscribe.compiler.boards import Board
from ttscribe.compiler.operations import FREES
from ttscribe.compiler.operations.operation import activation_to_fuse
from ttscribe.compiler.program import Op, Program, Role, Spec, Value
from ttscribe.compiler.text import told_by_specs
from ttscribe.compiler.tuned import FORMAT, Candidate, Configuration, TunedCall, TunedFile, configured
from ttscribe.devices.programs import ProgramDevice
from ttscribe.devices.provenance import Provenance
from ttscribe.errors import CallRefused, CompileError
from ttscribe.reports.constants import CHIPS
from ttscribe.reports.kernel_times import kernel_times, total
from ttscribe.reports.tuning import run_seconds
from ttscribe.tune.candidates import candidates, is_product

# Of a call, in one trace: what starting it takes is shared by all of them.
_TOGETHER = 16
# What a choice must gain at least: medians of a few runs differ by a little of themselves.
_GAIN = 0.02


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells the seconds of one call, by the specs of what it reads, and how it knows; None where a card refuses it."""

    seconds: Callable[[Op, Mapping[str, Spec]], float | None]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Kind:
    """Calls that are alike: how they are told, one of them with the specs of what it reads, and how many there are."""

    call: str
    op: Op
    specs: Mapping[str, Spec]
    times: int
    candidates: Sequence[Configuration]


def projected(board: Board) -> Clock:
    """By the cost model: the middle of what the call takes at least and at most."""

    def seconds(op: Op, specs: Mapping[str, Spec]) -> float:
        program = alone(op, specs)
        return sum(total(kernel_times(program, CHIPS[board.name]), [program.name])) / 2

    return Clock(seconds, Provenance.PROJECTED)


def measured(device: ProgramDevice) -> Clock:
    """By the median of a few runs on a device, on zeros, of several such calls in a row."""

    def seconds(op: Op, specs: Mapping[str, Spec]) -> float | None:
        try:
            return run_seconds(device, alone(op, specs, _TOGETHER), {}) / _TOGETHER
        except CallRefused:
            return None

    return Clock(seconds, Provenance.MEASURED)


def alone(op: Op, specs: Mapping[str, Spec], times: int = 1) -> Program:
    """A program that makes one call so many times, each result freed before the next; what it reads are inputs."""
    inputs = tuple(Value(name, specs[name], Role.ARGUMENT) for name in dict.fromkeys(op.inputs))
    body: list[Op] = []
    for time in range(times):
        results = tuple(replace(value, name=f"{value.name}_{time}") for value in op.outputs)
        body += [replace(op, outputs=results), *(Op(FREES, (value.name,), ()) for value in results)]
    return Program("alone", inputs, (), (), (), tuple(body), ())


def tune(
    programs: Sequence[Checkable], board: Board, clock: Clock, progress: Callable[[str], None] | None = None
) -> TunedFile:
    """What there is to choose in the calls of some programs for ``board``, and what is chosen.

    ``progress`` is told each call as it is timed. Raises CompileError where the programs do not fit the board,
    DeviceUnavailable where it cannot be mocked.
    """
    kinds = kinds_of([each.program for each in programs], board)
    checked, accepted = _accepted(programs, kinds, board)
    calls = []
    for kind in kinds:
        if progress is not None:
            progress(kind.call)
        calls.append(_chosen(kind, accepted[kind.call], clock))
    return TunedFile(FORMAT, board.kind, checked.ttnn, tuple(calls))


def kinds_of(programs: Sequence[Program], board: Board) -> list[Kind]:
    """Every kind of call for which there are candidates, as the programs come to them."""
    counts: Counter[str] = Counter()
    first: dict[str, tuple[Op, Mapping[str, Spec]]] = {}
    for program in programs:
        specs = program.specs()
        for call, op in _products(program):
            counts[call] += 1
            first.setdefault(call, (op, {name: specs[name] for name in op.inputs}))
    kinds = [Kind(call, op, specs, counts[call], candidates(op, specs, board)) for call, (op, specs) in first.items()]
    return [kind for kind in kinds if kind.candidates]


def _products(program: Program) -> Iterator[tuple[str, Op]]:
    specs = program.specs()
    for op in program.ops:
        if is_product(op):
            yield told_by_specs(op, specs), op


def _accepted(
    programs: Sequence[Checkable], kinds: Sequence[Kind], board: Board
) -> tuple[CheckReport, Mapping[str, Sequence[Configuration]]]:
    """The candidates that TT-NN takes wherever the programs have the call, beside what is in memory there."""
    rounds = range(max((len(kind.candidates) for kind in kinds), default=0))
    trials = [trial for index in rounds for each in programs if (trial := _Trial.of(each, kinds, index)) is not None]
    checked = check_programs([trial.checkable for trial in trials], board.name)
    refused: set[tuple[str, int]] = set()
    by_name = {trial.checkable.program.name: trial for trial in trials}
    for finding in checked.findings:
        refused |= by_name[finding.program].refused(finding)
    return checked, {
        kind.call: [each for index, each in enumerate(kind.candidates) if (kind.call, index) not in refused]
        for kind in kinds
    }


@dataclass(frozen=True, slots=True)
class _Trial:
    """A program in which each kind of call has its candidate of that ``index``; ``calls`` are told by their step."""

    checkable: Checkable
    index: int
    calls: Mapping[int, str]

    @classmethod
    def of(cls, checkable: Checkable, kinds: Sequence[Kind], index: int) -> _Trial | None:
        """None where no call of the program has so many candidates."""
        program = checkable.program
        specs = program.specs()
        tried = {kind.call: kind.candidates[index] for kind in kinds if index < len(kind.candidates)}
        body, calls = list(program.body), {}
        for step, op in enumerate(program.body):
            if isinstance(op, Op) and is_product(op):
                call = told_by_specs(op, specs)
                if call in tried:
                    body[step], calls[step] = _configured(op, tried[call]), call
        if not calls:
            return None
        named = replace(program, name=f"{program.name}, candidate {index}", body=tuple(body))
        return cls(Checkable(named, checkable.keys), index, calls)

    def refused(self, finding: Finding) -> set[tuple[str, int]]:
        """The candidate that a finding is of; raises CompileError where it says that no call was tried at all."""
        if finding.step == AT_LOAD:
            raise CompileError(f"nothing can be tuned: {finding}")
        return {(self.calls[finding.step], self.index)} if finding.step in self.calls else set()


def _configured(op: Op, configuration: Configuration) -> Op:
    return configured(op, configuration.config(activation_to_fuse(op)))


def _chosen(kind: Kind, accepted: Sequence[Configuration], clock: Clock) -> TunedCall:
    """The accepted candidates by their time, and the first of them where it gains something."""
    present = clock.seconds(kind.op, kind.specs)
    if present is None:
        raise CompileError(f"the card refuses {kind.call}")
    timed = [(each, clock.seconds(_configured(kind.op, each), kind.specs)) for each in accepted]
    # As good as another one: the more promising stays first.
    ordered = sorted(
        (Candidate(each, seconds) for each, seconds in timed if seconds is not None), key=lambda each: each.seconds
    )
    gains = bool(ordered) and ordered[0].seconds < (1 - _GAIN) * present
    return TunedCall(
        kind.call,
        kind.times,
        len(kind.candidates),
        tuple(ordered),
        clock.provenance.value,
        present,
        ordered[0].configuration if gains else None,
    )
