"""A report as data: every figure of a model's bring-up, each with its provenance. ``report.json`` is this, encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from ttscribe.check import ProgramCheck
from ttscribe.devices.provenance import Provenance

FORMAT = "ttscribe.report/4"


class Status(str, Enum):
    """Done needs every operation lowered, the mock board's acceptance, and the accuracy contract."""

    DONE = "✅"
    IN_WORK = "🚧"
    FAILED = "❌"


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Immutable, and decoded from nothing but its own fields."""


class Figure(_Record, frozen=True):
    """A number, its unit, its provenance, and what it was taken on or made from."""

    value: int | float
    unit: str
    provenance: Provenance
    source: str


class Variation(_Record, frozen=True):
    """One ATen operation on inputs of one form, over all programs.

    ``inputs`` is the call's arguments, tensors by element type and shape (symbolic sizes by name). ``statuses`` counts
    what became of it: "lowered" (TT-NN calls of its own), "fused" (part of another's), "removed" (needs no call),
    "constant" (computed once at load), "host", "blocked". ``calls`` are the TT-NN calls that it became or went into;
    ``reasons`` why it stays on the host. ``pcc`` is Pearson's correlation of the operation alone on the emulator with
    float32 PyTorch on seeded normal inputs, under the policy: absent where it was not run alone.
    """

    target: str
    inputs: str
    programs: tuple[str, ...]
    statuses: dict[str, int]
    calls: dict[str, int] = {}
    reasons: tuple[str, ...] = ()
    pcc: float | None = None

    @property
    def count(self) -> int:
        """How many nodes have this form."""
        return sum(self.statuses.values())

    @property
    def on_host(self) -> bool:
        """Whether any node of this form stays in PyTorch."""
        return not {"host", "blocked"}.isdisjoint(self.statuses)


class KernelTimes(_Record, frozen=True):
    """All calls of a kind in a program: what they do, and seconds, *projected*.

    ``flops`` are of the matrix engine, ``bytes_dram`` what is moved from and to DRAM; ``floor_s`` at the chip's peak
    rates, ``least_s`` and ``most_s`` by what ``source`` measured of the like.
    """

    program: str
    call: str
    device_operations: int
    flops: int
    bytes_dram: int
    floor_s: float
    least_s: float
    most_s: float
    source: str


class Batch(_Record, frozen=True):
    """Several windows at a time, all chips of the board together, *projected*.

    A step of all takes ``least_s`` to ``most_s`` seconds; the real-time factor is of windows one batch after another,
    each with as many tokens as 30 s of read speech have.
    """

    windows: int
    device_operations: int
    least_s: float
    most_s: float
    rtf_least: float
    rtf_most: float

    @property
    def tokens_per_second(self) -> tuple[float, float]:
        """Tokens a second of all windows (t/s), at least and at most."""
        return self.windows / self.most_s, self.windows / self.least_s


class ModelReport(_Record, frozen=True):
    """Figures by name: ``FIGURES`` lists them, and one that could not be taken is absent. ``weights`` says what weights
    were used, ``reasons`` why the status is not done, ``ledger_differences`` what ran otherwise than was compiled, None
    where nothing ran. ``kernels`` has what the kernels add up to, of which the projected figures are. ``overrides``
    says which operations have another setting than the policy's own; ``batches`` what several windows at a time bring.
    """

    format: str
    model: str
    weights: str
    board: str
    precision: str
    batch: int
    status: Status
    reasons: tuple[str, ...]
    versions: dict[str, str]
    figures: dict[str, Figure]
    programs: tuple[ProgramCheck, ...]
    fallbacks: tuple[str, ...]
    findings: tuple[str, ...]
    ledger_differences: tuple[str, ...] | None = None
    variations: tuple[Variation, ...] = ()
    kernels: tuple[KernelTimes, ...] = ()
    overrides: tuple[str, ...] = ()
    batches: tuple[Batch, ...] = ()

    def figure(self, name: str) -> Figure | None:
        """The figure of that name, one of FIGURES, if it could be taken."""
        if name not in FIGURES:
            raise KeyError(f"no figure is called {name!r}")
        return self.figures.get(name)


# Every figure that a report may have: its unit, and what it is.
FIGURES: Mapping[str, tuple[str, str]] = {
    "compile": ("s", "seconds to compile all programs; a graph that was captured before is read from a file"),
    "check": ("s", "seconds to validate all programs on the mock board"),
    "torch_ops_before": ("", "ATen operations in the captured graphs, each once"),
    "torch_ops_remaining": ("", "ATen operations that stay in PyTorch, each once"),
    "variations_before": ("", "ATen operations with their input variations"),
    "variations_remaining": ("", "input variations that stay in PyTorch"),
    "moves": ("", "tensors that cross between host and device for one window and one token"),
    "host_segments": ("", "runs of operations that stay in PyTorch"),
    "device_operations_window": ("", "device operations for a window: encode, cross_kv and prefill"),
    "device_operations_token": ("", "device operations for a token"),
    "device_operations": ("", "device operations of one run of every graph"),
    "dram": ("B", "bytes of DRAM that weights, inputs and state hold"),
    "peak_l1": ("B/core", "bytes of L1 a core at the peak of any program"),
    "token_agreement": ("%", "share of float32's tokens, teacher-forced"),
    "pcc_mean": ("", "Pearson's correlation of the logits, mean of the worst clip"),
    "pcc_worst": ("", "Pearson's correlation of the logits, worst position"),
    "wer": ("%", "corpus word error rate"),
    "wer_fp32": ("%", "float32's corpus word error rate on the same clips"),
    "ttft_floor": ("ms", "time to the first token, at least"),
    "ttft": ("ms", "time to the first token; at most, where it is projected"),
    "tsu_ceiling": ("t/s/u", "decode steps a second and user, at most"),
    "tsu": ("t/s/u", "decode steps a second and user (t/s/u); at least, where it is projected"),
    "ts": ("t/s", "decode steps a second over all users (t/s)"),
    "rtf_floor": ("", "real-time factor, at least"),
    "rtf": ("", "real-time factor: seconds of work for a second of audio; at most, where it is projected"),
    "first_run": ("s", "seconds of the first window, kernels compiled in it"),
}


def figures(provenance: Provenance, source: str, **values: float | None) -> dict[str, Figure]:
    """Figures of one provenance and source by name, but for those that are None."""
    return {
        name: Figure(value, FIGURES[name][0], provenance, source) for name, value in values.items() if value is not None
    }


def to_json(report: ModelReport) -> str:
    """JSON whose text is equal for equal reports."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n"


def from_json(text: str) -> ModelReport:
    """The report that ``to_json`` wrote; ValueError for anything else."""
    report = msgspec.json.decode(text, type=ModelReport)
    if report.format != FORMAT:
        raise ValueError(f"the format is not {FORMAT}")
    if unknown := set(report.figures) - set(FIGURES):
        raise ValueError(f"no figure is called {', '.join(sorted(unknown))}")
    return report


def in_order(report: ModelReport) -> list[tuple[str, Figure]]:
    """The figures that were taken, in the order of FIGURES."""
    return [(name, report.figures[name]) for name in FIGURES if name in report.figures]


def counted(count: int, noun: str) -> str:
    """One or more of something: ``1 call``, ``2 calls``."""
    return f"{count} {noun}{'s' * (count > 1)}"


def status_of(
    *, fallbacks: Sequence[str], findings: Sequence[str], accuracy: str | None, differences: Sequence[str]
) -> tuple[Status, tuple[str, ...]]:
    """The status and why it is not done; ``accuracy`` is the contract's verdict, None where it could not be judged."""
    reasons = []
    if fallbacks:
        reasons.append(f"{counted(len(fallbacks), 'operation')} in PyTorch")
    if findings:
        reasons.append(f"{counted(len(findings), 'call')} refused on the mock board")
    if differences:
        reasons.append("what ran is not what was compiled")
    if accuracy is None:
        reasons.append("accuracy with its own weights not judged")
    elif accuracy != "met":
        reasons.append(f"accuracy contract {accuracy}")
    if findings or differences:
        return Status.FAILED, tuple(reasons)
    return (Status.IN_WORK if reasons else Status.DONE), tuple(reasons)
