"""The accuracy contract, and whether what was recorded of a model under a policy meets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CPU, EMULATOR, KERNELS, SIMULATOR = "cpu", "emulator", "emulator:kernels", "simulator"
# Of fewer words a single error is more than the 0.2 points of word error rate that every contract allows.
LEAST_WORDS = 500


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
    # On the CPU itself: with 16-bit and with 8-bit products.
    "bfloat16": Contract(0.98, 0.5, 0.999, 0.99, 0.2),
    "int8": Contract(0.96, 1.0, 0.99, 0.95, 0.2),
}


@dataclass(frozen=True, slots=True)
class Forced:
    """One recording under one policy, decoded with float32's tokens whatever is likeliest.

    ``agreed`` of the ``tokens`` are the likeliest under the policy too; ``margins`` are float32's top-2 margins where
    another was; ``mean_pcc`` and ``worst_pcc`` are Pearson's correlation of the logits over its positions.
    """

    model: str
    policy: str
    file: str
    tokens: int
    agreed: int
    margins: Sequence[float]
    mean_pcc: float
    worst_pcc: float


@dataclass(frozen=True, slots=True)
class Text:
    """One recording under one policy, decoded freely: the reference's words, and the errors of float32 and of ours."""

    model: str
    policy: str
    file: str
    words: int
    fp32_errors: int
    errors: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A model under a policy, on a device: *emulated* in one of two ways, *simulated* on the simulator, or *measured*.

    ``clips`` were decoded with float32's tokens, and freely. ``margin`` is float32's largest top-2 margin where the
    policy's token was another; ``mean_pcc`` the worst clip's mean correlation of the logits, ``worst_pcc`` the worst
    position's; ``wer`` and ``fp32_wer`` corpus word error rates in per cent of their ``words``.
    """

    model: str
    policy: str
    clips: int
    agreed: int
    tokens: int
    margin: float
    mean_pcc: float
    worst_pcc: float
    words: int
    wer: float
    fp32_wer: float
    device: str = EMULATOR

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
            # Rounded, as the difference of two rates at the limit is not the limit in binary.
            "WER": round(self.wer - self.fp32_wer, 6) > contract.word_errors,
        }
        return tuple(name for name, bad in checks.items() if bad)

    @property
    def verdict(self) -> str:
        """``met``, or what keeps it from that."""
        if self.words < LEAST_WORDS:
            return f"cannot be judged by {self.words} words: it takes {LEAST_WORDS}"
        return f"missed: {', '.join(self.missed)}" if self.missed else "met"


def summary(forced: Sequence[Forced], texts: Sequence[Text], device: str = EMULATOR) -> Accuracy:
    """What the records of one model under one policy come to, ``texts`` of other recordings left out."""
    read = {record.file for record in forced}
    clips = [record for record in texts if record.file in read]
    return Accuracy(
        forced[0].model,
        forced[0].policy,
        len(forced),
        sum(record.agreed for record in forced),
        sum(record.tokens for record in forced),
        max((margin for record in forced for margin in record.margins), default=0.0),
        min(record.mean_pcc for record in forced),
        min(record.worst_pcc for record in forced),
        sum(record.words for record in clips),
        word_error_rate([record.errors for record in clips], clips),
        word_error_rate([record.fp32_errors for record in clips], clips),
        device,
    )


def word_error_rate(errors: Sequence[int], texts: Sequence[Text]) -> float:
    """Over a corpus, in per cent: the sum of errors over the sum of words."""
    return 100 * sum(errors) / sum(text.words for text in texts)
