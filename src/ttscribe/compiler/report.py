"""What a compilation did: what was lowered, what stays on the host and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ttscribe.compiler.operations import FREES, MOVES_IN, MOVES_OUT
from ttscribe.compiler.program import Fallback, Program
from ttscribe.errors import FallbackRefused

_CROSSINGS = (MOVES_IN, MOVES_OUT)


@dataclass(frozen=True, slots=True)
class CompileReport:
    """One compiled graph. ``lowered`` and ``constant`` count ATen nodes, ``moves`` tensors that cross the boundary.

    ``ledger`` counts every operation that has run since, by target, on the device and on the host.
    """

    name: str
    lowered: int
    constant: int
    fallbacks: tuple[Fallback, ...]
    calls: int
    moves: int
    ledger: Counter[str] = field(default_factory=Counter, compare=False, repr=False)

    @classmethod
    def of(cls, lowered_program: Program, final: Program) -> CompileReport:
        """The report of a program as lowered and as it is after every pass."""
        # Of the lowered program, for passes drop calls, and the ATen nodes that these came from with them.
        sources = {name for op in lowered_program.ops if op.target not in _CROSSINGS for name in op.source}
        moves = [op for op in final.ops if op.target in _CROSSINGS]
        calls = len(final.ops) - len(moves) - sum(op.target == FREES for op in final.ops)
        fallbacks = tuple(final.fallbacks)
        return cls(final.name, len(sources), len(lowered_program.setup), fallbacks, calls, len(moves))

    @property
    def share(self) -> float:
        """Which part of the operations that had to run somewhere runs on the device, from 0 to 1."""
        total = self.lowered + len(self.fallbacks)
        return self.lowered / total if total else 1.0

    def __str__(self) -> str:
        head = f"{self.name}: {self.lowered} of {self.lowered + len(self.fallbacks)} operations lowered"
        return "\n".join([f"{head} to {self.calls} TT-NN calls, {self.moves} moves", *_reasons(self.fallbacks)])


def _reasons(fallbacks: tuple[Fallback, ...]) -> list[str]:
    """One line for each operation and reason, the most frequent first, with the sentence of its first node."""
    counts = Counter((fallback.target, fallback.reason) for fallback in fallbacks)
    sentences = {(fallback.target, fallback.reason): fallback.sentence for fallback in reversed(fallbacks)}
    return [
        f"  {count} x {target} on the host ({reason.value}): {sentences[target, reason]}"
        for (target, reason), count in counts.most_common()
    ]


def refuse_fallbacks(report: CompileReport) -> None:
    """Raise FallbackRefused where anything stays on the host."""
    if report.fallbacks:
        raise FallbackRefused(f"strict: operations would stay on the host\n{report}")
