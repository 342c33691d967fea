"""What a check finds, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

AT_LOAD = -1  # the step of a finding that no call of the body made


class Kind(str, Enum):
    """What is wrong with a call, or with a step that is none."""

    REFUSED = "refused"  # TT-NN raised an error
    CRASHED = "crashed"  # TT-NN ended the process
    NOT_WRITTEN = "not_written"  # TT-NN left a tensor as it was that the call should have written
    DIFFERS = "differs"  # TT-NN gave another tensor than the program declares
    HOST_SEGMENT = "host_segment"  # PyTorch would have to run it
    NOT_LOADED = "not_loaded"  # weights, inputs or state do not fit the card


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong. ``step`` is the index in the program's body, or AT_LOAD; ``call`` has shapes,
    element types and memory configurations; ``message`` is TT-NN's own, or what stays on the host and why.
    """

    program: str
    step: int
    kind: Kind
    call: str
    message: str

    def __str__(self) -> str:
        where = f"step {self.step}" if self.step >= 0 else "at load"
        return f"{self.program}, {where}, {self.kind.value}: {self.call}: {self.message}"


@dataclass(frozen=True, slots=True)
class ProgramCheck:
    """What the mock board says of one program; every figure is *validated*, none is a time on a card.

    ``calls`` are TT-NN calls (frees not counted), ``device_operations`` what they would dispatch, by name (a
    refused call's among them).
    ``dram_added`` are bytes that the program's weights, inputs and state add to those of the programs before it, in
    TT-NN's own allocator. ``peak_l1`` is in bytes of one core, tensors and buffers, reached first in ``peak_l1_call``;
    both are absent where a call was not accepted. ``seconds`` is how long the check itself took.
    """

    program: str
    calls: int
    device_operations: Mapping[str, int]
    host_segments: int
    dram_added: int
    dram_held: int
    peak_l1: int | None
    peak_l1_call: str | None
    cached_programs: int
    seconds: float

    @property
    def launches(self) -> int:
        """Device operations in all."""
        return sum(self.device_operations.values())


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All programs of one check on one board. ``dram`` and ``l1`` are what a chip offers: bytes, and bytes a core."""

    board: str
    ttnn: str
    precision: str
    dram: int
    l1: int
    programs: tuple[ProgramCheck, ...]
    findings: tuple[Finding, ...]

    @property
    def accepted(self) -> bool:
        """Whether every call of every program is accepted, everything fits, and nothing stays on the host."""
        return not self.findings

    @property
    def verdict(self) -> str:
        """One line."""
        on = f"by TT-NN {self.ttnn}'s host software on a mock {self.board}, {self.precision}"
        if self.accepted:
            return f"validated: every call is accepted {on}; nothing stays on the host"
        count = len(self.findings)
        return f"not validated: {count} finding{'s' if count > 1 else ''} {on}"

    def to_json(self) -> dict[str, Any]:
        """The report as data, its verdict among it."""
        return {**asdict(self), "accepted": self.accepted, "verdict": self.verdict}
