"""The accuracy contract, and whether the records of a policy meet it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Contract:
    """What a policy must reach against float32 PyTorch with the same weights: docs/accuracy.md has it in words.

    ``agreement`` is a share of tokens, ``margin`` in logits, ``word_errors`` in percentage points above float32's.
    """

    agreement: float
    margin: float
    mean_pcc: float
    worst_pcc: float
    word_errors: float


CONTRACTS: Mapping[str, Contract] = {
    "exact": Contract(1.0, 0.001, 0.99999, 0.9999, 0.0),
    "bf16": Contract(0.98, 0.5, 0.999, 0.99, 0.2),
    "bfp8": Contract(0.96, 1.0, 0.99, 0.95, 0.2),
}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A model under a policy over all clips; *emulated*.

    ``margin`` is float32's largest top-2 margin where the policy's token was another; ``mean_pcc`` the worst clip's
    mean correlation of the logits, ``worst_pcc`` the worst position's; ``wer`` and ``fp32_wer`` corpus word error rates
    in per cent.
    """

    model: str
    policy: str
    clips: int
    agreed: int
    tokens: int
    margin: float
    mean_pcc: float
    worst_pcc: float
    wer: float
    fp32_wer: float

    @property
    def agreement(self) -> float:
        """The share of tokens that are float32's."""
        return self.agreed / self.tokens

    @property
    def missed(self) -> tuple[str, ...]:
        """What of the contract is not met."""
        contract = CONTRACTS[self.policy.partition("-")[0]]
        checks = {
            "agreement": self.agreement < contract.agreement,
            "margin": self.margin > contract.margin,
            "PCC mean": self.mean_pcc < contract.mean_pcc,
            "PCC worst": self.worst_pcc < contract.worst_pcc,
            "WER": self.wer - self.fp32_wer > contract.word_errors,
        }
        return tuple(name for name, bad in checks.items() if bad)

    @property
    def verdict(self) -> str:
        return f"missed: {', '.join(self.missed)}" if self.missed else "met"


def summaries(records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Accuracy]:
    """Records of single clips, as ``bench/accuracy.py`` writes them, by model and policy."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["model"], record["policy"]), []).append(record)
    return {key: _summary(*key, rows) for key, rows in groups.items()}


def _summary(model: str, policy: str, rows: Sequence[Mapping[str, Any]]) -> Accuracy:
    return Accuracy(
        model,
        policy,
        len(rows),
        sum(row["agreed"] for row in rows),
        sum(row["tokens"] for row in rows),
        max((margin for row in rows for margin in row["margins"]), default=0.0),
        min(row["mean_pcc"] for row in rows),
        min(row["worst_pcc"] for row in rows),
        _word_error_rate(rows, "errors"),
        _word_error_rate(rows, "fp32_errors"),
    )


def _word_error_rate(rows: Sequence[Mapping[str, Any]], field: str) -> float:
    """Over the corpus, in per cent: the sum of errors over the sum of words."""
    return float(100 * sum(row[field] for row in rows) / sum(row["words"] for row in rows))
