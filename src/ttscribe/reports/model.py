"""A model's report: every figure of its bring-up, each with the word that says where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

FORMAT = "ttscribe.report/1"


class Word(str, Enum):
    """Where a figure comes from."""

    VALIDATED = "validated"  # TT-NN's host software on a mock board
    EMULATED = "emulated"  # numerics on the CPU
    PROJECTED = "projected"  # the cost model
    MEASURED = "measured"  # silicon, CPU or GPU: ``on`` says which


class Status(str, Enum):
    """DESIGN's rule: done needs every operation lowered, the mock board's acceptance, and the accuracy contract."""

    DONE = "✅"
    IN_WORK = "🚧"
    FAILED = "❌"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, its unit, its word, and what it was taken on or made from."""

    value: float
    unit: str
    word: Word
    on: str


@dataclass(frozen=True, slots=True)
class ProgramSummary:
    """One program as the mock board saw it: counts, bytes in DRAM that it adds, bytes of L1 a core at its peak."""

    name: str
    calls: int
    device_operations: int
    host_segments: int
    dram_added: int
    peak_l1: int | None
    peak_l1_call: str | None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """Figures by name: ``FIGURES`` lists them, and one that could not be taken is absent. ``weights`` says what weights
    were used, ``reasons`` why the status is not done, ``ledger_differences`` what ran otherwise than was
    compiled, None where nothing ran.
    """

    model: str
    weights: str
    board: str
    precision: str
    batch: int
    status: Status
    reasons: tuple[str, ...]
    versions: Mapping[str, str]
    figures: Mapping[str, Figure]
    programs: tuple[ProgramSummary, ...]
    fallbacks: tuple[str, ...]
    findings: tuple[str, ...]
    ledger_differences: tuple[str, ...] | None

    def figure(self, name: str) -> Figure | None:
        """The figure of that name, one of FIGURES, if it could be taken."""
        if name not in FIGURES:
            raise KeyError(f"no figure is called {name!r}")
        return self.figures.get(name)


# Every figure that a report may have, and what it is: the schema of ``figures``.
FIGURES: Mapping[str, str] = {
    "compile": "seconds to capture, lower and optimise all programs",
    "check": "seconds to validate all programs on the mock board",
    "torch_ops_before": "ATen operations in the captured graphs, each once",
    "torch_ops_remaining": "ATen operations that stay in PyTorch, each once",
    "variations_before": "ATen operations with their input variations",
    "variations_remaining": "input variations that stay in PyTorch",
    "moves": "tensors that cross between host and device for one window and one token",
    "host_segments": "runs of operations that stay in PyTorch",
    "device_operations_window": "device operations for a window: encode, cross_kv and prefill",
    "device_operations_token": "device operations for a token",
    "device_operations": "device operations of one run of every graph",
    "dram": "bytes of DRAM that weights, inputs and state hold",
    "peak_l1": "bytes of L1 a core at the peak of any program",
    "token_agreement": "share of float32's tokens, teacher-forced",
    "pcc_mean": "Pearson's correlation of the logits, mean of the worst clip",
    "pcc_worst": "Pearson's correlation of the logits, worst position",
    "wer": "corpus word error rate",
    "wer_fp32": "float32's corpus word error rate on the same clips",
    "ttft_floor": "time to the first token at the board's limits",
    "ttft": "time to the first token",
    "tsu_ceiling": "decode steps a second and user at the board's limits",
    "tsu": "decode steps a second and user (t/s/u)",
    "ts": "decode steps a second over all users (t/s)",
    "rtf": "real-time factor: seconds of work for a second of audio",
    "first_run": "seconds of the first window, kernels compiled in it",
}


def to_json(report: ModelReport) -> str:
    """The report as text that ``from_json`` reads."""
    return json.dumps({"format": FORMAT, **asdict(report)}, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> ModelReport:
    """The report that ``to_json`` wrote; ValueError for any other text."""
    try:
        document = json.loads(text)
        if document.pop("format") != FORMAT:
            raise ValueError(f"the format is not {FORMAT}")
        return _report(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a report in the format {FORMAT}: {error!r}") from error


def _report(document: dict[str, Any]) -> ModelReport:
    figures = {name: Figure(**{**figure, "word": Word(figure["word"])}) for name, figure in document["figures"].items()}
    if unknown := set(figures) - set(FIGURES):
        raise ValueError(f"no figure is called {', '.join(sorted(unknown))}")
    programs = tuple(ProgramSummary(**program) for program in document["programs"])
    given = {**document, "status": Status(document["status"]), "figures": figures, "programs": programs}
    lists = {name: tuple(document[name]) for name in ("reasons", "fallbacks", "findings")}
    ran = document["ledger_differences"]
    return ModelReport(**{**given, **lists, "ledger_differences": None if ran is None else tuple(ran)})


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


def same_but_for_time(first: ModelReport, second: ModelReport) -> list[str]:
    """Names of what differs between two reports, versions and the seconds of a machine's CPU left out.

    Where only one of them ran the model, as on a card, what only that can tell is left out too.
    """
    one_ran = (first.ledger_differences is None) != (second.ledger_differences is None)
    left_out = {"figures", "versions", *(_OF_A_RUN if one_ran else ())}
    compared = [field.name for field in fields(ModelReport) if field.name not in left_out]
    found = [name for name in compared if getattr(first, name) != getattr(second, name)]
    for name in sorted({*first.figures, *second.figures}):
        mine, other = first.figures.get(name), second.figures.get(name)
        words = {figure.word for figure in (mine, other) if figure is not None}
        of_a_run = one_ran and (None in (mine, other) or Word.MEASURED in words)
        timed = name in ("compile", "check") and None not in (mine, other)
        if mine != other and not timed and not of_a_run:
            found.append(name)
    return found


_OF_A_RUN = ("weights", "status", "reasons", "ledger_differences")
