"""What a compilation did: what was lowered, what stays on the host and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ttscribe.compiler.program import Fallback, Program
from ttscribe.errors import FallbackRefused


@dataclass(frozen=True, slots=True)
class CompileReport:
    """One compiled graph. ``lowered`` and ``constant`` count ATen nodes, ``moves`` tensors that cross the boundary."""

    name: str
    lowered: int
    constant: int
    fallbacks: tuple[Fallback, ...]
    calls: int
    moves: int

    @classmethod
    def of(cls, lowered_program: Program, final: Program) -> CompileReport:
        sources = {name for op in lowered_program.ops for name in op.source}
        moves = [op for op in final.ops if op.target in ("ttnn.from_torch", "ttnn.to_torch")]
        calls = len(final.ops) - len(moves) - sum(op.target == "ttnn.deallocate" for op in final.ops)
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
    """One line for each operation and reason, the most frequent first."""
    counts = Counter((fallback.target, fallback.reason, fallback.sentence) for fallback in fallbacks)
    return [
        f"  {count} x {target} on the host ({reason.value}): {sentence}"
        for (target, reason, sentence), count in counts.most_common()
    ]


def refuse_fallbacks(report: CompileReport) -> None:
    """Raise FallbackRefused where anything stays on the host."""
    if report.fallbacks:
        raise FallbackRefused(f"strict: operations would stay on the host\n{report}")
