"""What a comparison finds, and from where on a difference is a fault."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf, sqrt
from pathlib import Path
from typing import Any

from ttscribe.evaluation.accuracy import CONTRACTS
from ttscribe.lockstep.difference import Difference


@dataclass(frozen=True, slots=True)
class StepFound:
    """One step of a program. ``alone`` is on the reference's inputs, ``end_to_end`` each side on its own values; either
    is absent where the reference does not know the values, or the device refused the call, as ``refused`` says.

    ``seconds`` are of the run on the device's own values, the second of that call: its kernels are compiled by then. A
    simulator has none.
    """

    step: int
    target: str
    results: tuple[str, ...]
    alone: Difference | None
    end_to_end: Difference | None
    seconds: float | None
    reference_seconds: float | None
    refused: str | None = None

    def is_off(self, tolerance: float) -> bool:
        """Whether the device does not do this step as the reference does."""
        return self.refused is not None or (self.alone is not None and self.alone.error > tolerance)


@dataclass(frozen=True, slots=True)
class Kept:
    """Files of one step: its inputs and expected results (safetensors), and a script that makes the one call."""

    values: Path
    script: Path


@dataclass(frozen=True)
class Comparison:
    """One program on two sides. ``device`` and ``reference`` are names with their provenance, ``inputs`` says where the
    inputs come from and what was cut. ``outputs`` are the differences, end to end, of the program's floating-point
    outputs and of the inputs that it writes; ``kept`` is of the first step that is off.
    """

    program: str
    precision: str
    device: str
    reference: str
    inputs: str
    tolerance: float
    end_to_end_tolerance: float
    steps: tuple[StepFound, ...]
    outputs: Mapping[str, Difference]
    kept: Kept | None = None

    @property
    def first_off(self) -> StepFound | None:
        return next((found for found in self.steps if found.is_off(self.tolerance)), None)

    @property
    def outputs_off(self) -> tuple[str, ...]:
        """Outputs that are further off end to end than the accuracy contract lets logits be."""
        return tuple(name for name, each in self.outputs.items() if each.error > self.end_to_end_tolerance)

    @property
    def agrees(self) -> bool:
        return self.first_off is None and not self.outputs_off

    @property
    def verdict(self) -> str:
        """One line."""
        found = self.first_off
        if found is not None:
            why = found.refused or f"relative error {_error(found.alone)} > {self.tolerance:.2g}"
            return f"off: step {found.step} ({found.target}), {', '.join(found.results) or 'no result'}: {why}"
        if self.outputs_off:
            name = self.outputs_off[0]
            how = f"relative error {_error(self.outputs[name])} > {self.end_to_end_tolerance:.2g}"
            return f"off end to end, though no step is alone: {name}: {how}"
        judged = sum(found.alone is not None for found in self.steps)
        return f"nothing is off: {judged} of {len(self.steps)} steps on the same inputs, and end to end"

    def to_json(self) -> dict[str, Any]:
        """The comparison as data, its verdict among it."""
        kept = None if self.kept is None else {name: str(path) for name, path in asdict(self.kept).items()}
        data: dict[str, Any] = _finite({**asdict(self), "kept": kept})
        return {**data, "agrees": self.agrees, "verdict": self.verdict}


def _finite(item: Any) -> Any:
    """JSON has no infinity: an error that is none is told by the largest number that there is."""
    if isinstance(item, dict):
        return {name: _finite(value) for name, value in item.items()}
    if isinstance(item, tuple | list):
        return [_finite(value) for value in item]
    return sys.float_info.max if item == inf else item


def _error(found: Difference | None) -> str:
    return "-" if found is None else f"{found.error:.2g}"


# The largest relative error of one call on the same inputs, by kind of policy: beside a reference that rounds as a card
# does, and beside one in float32. A sum in float32 in another order is off by some 1e-6. bfloat16 has 8 bits, so that
# rounding a result alone is off by 2^-9 at most, and by twice that where sums are rounded on the way. Kernels with sums
# in 16 bits are off by up to 0.028 from float32 (recorded: attention, linear layers of 1536 terms); the table that
# TT-NN may have in place of GELU is off by 0.06 in Whisper's first convolution. bfloat8_b weights add 0.0073.
TOLERANCES: Mapping[str, tuple[float, float]] = {
    "exact": (1e-5, 1e-5),
    "bf16": (2**-7, 0.03),
    "bfp8": (2**-6, 0.04),
}


def tolerance_of(precision: str, *, float32: bool) -> float:
    """The largest relative error of one call, for a precision policy beside a reference in ``float32`` or a card's."""
    return TOLERANCES[precision.partition("-")[0]][float32]


def end_to_end_tolerance(precision: str) -> float:
    """The relative error at which the correlation is the mean that the accuracy contract asks of logits."""
    return sqrt(2 * (1 - CONTRACTS[precision.partition("-")[0]].mean_pcc))
