"""What was measured, as data: raw runs, and what their figures depend on. ``--json`` writes this."""

from __future__ import annotations

from statistics import median

import msgspec

from ttscribe.bench.limits import Limits
from ttscribe.bench.machine import Machine
from ttscribe.devices.provenance import Provenance

FORMAT = "ttscribe.bench/2"
OURS = "ttscribe"


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Immutable, and decoded from nothing but its own fields."""


class ClipRun(_Record, frozen=True):
    """Seconds from samples in memory to the whole text, and the text's tokens, timestamps included."""

    seconds: float
    tokens: int


class Stages(_Record, frozen=True):
    """Seconds of each repetition: the encoder's pass over a window of 30 s; from samples in memory to the first token,
    features and encoder included; each token after it.
    """

    encoder: tuple[float, ...]
    first_token: tuple[float, ...]
    token: tuple[float, ...]


class Measured(_Record, frozen=True):
    """One process: ``load`` is seconds from its start to the model ready, ``peak_mib`` the most memory that it held.

    ``about`` has what the system says of how it computes: "arithmetic" and "versions".
    """

    load: float
    stages: Stages
    clips: tuple[ClipRun, ...]
    peak_mib: float
    about: dict[str, str]


class Run(_Record, frozen=True):
    """A system in a round; ``absent`` says why nothing was measured."""

    system: str
    round: int
    measured: Measured | None = None
    absent: str = ""


class Heard(_Record, frozen=True):
    """A recording by name, and its seconds."""

    name: str
    seconds: float


class Results(_Record, frozen=True):
    """Everything of one command. ``limits`` has each round's; ``encoder_operations`` are of one window, and
    ``layer_weights`` and ``vocabulary_weights`` of one token (``ttscribe.bench.work``).
    """

    format: str
    date: str
    model: str
    weights: str
    device: str
    provenance: Provenance
    machine: Machine
    clips: tuple[Heard, ...]
    encoder_operations: int
    layer_weights: int
    vocabulary_weights: int
    limits: tuple[Limits, ...]
    runs: tuple[Run, ...]

    def systems(self) -> list[str]:
        """Those that were measured or should have been, ttscribe first."""
        return list(dict.fromkeys(run.system for run in self.runs))

    def rounds_of(self, system: str) -> dict[int, Measured]:
        """What a system's processes measured, by round."""
        return {run.round: run.measured for run in self.runs if run.system == system and run.measured is not None}

    def absent(self, system: str) -> str:
        """Why a system was not measured; empty where it was."""
        return next((run.absent for run in self.runs if run.system == system and run.absent), "")


def to_json(results: Results) -> str:
    """JSON whose text is equal for equal results."""
    return msgspec.json.format(msgspec.json.encode(results), indent=1).decode() + "\n"


def from_json(text: str) -> Results:
    """The results that ``to_json`` wrote; ValueError for anything else."""
    results = msgspec.json.decode(text, type=Results)
    if results.format != FORMAT:
        raise ValueError(f"the format is not {FORMAT}")
    return results


def middle(values: tuple[float, ...]) -> float:
    """The median."""
    return float(median(values))
