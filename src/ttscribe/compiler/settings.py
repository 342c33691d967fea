"""How to compile: for which board, at which precision, and what to leave in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ttscribe.compiler.blocklist import Blocklist
from ttscribe.compiler.boards import BOARDS, Board
from ttscribe.compiler.program import DType
from ttscribe.errors import OptionError


@dataclass(frozen=True, slots=True)
class Precision:
    """A precision policy.

    ``weights`` is the element type of weight matrices. Biases of products are float32, as the sums that they are added
    to; activations, other biases, norms and tables are bfloat16.
    ``fidelity`` is the math fidelity of matrix products and attention; convolutions, norms and sums always have HiFi3.
    Everything is summed in 32 bits. ``exact`` asks the emulator for float32 throughout, and changes nothing on a card.
    """

    name: str
    weights: DType
    fidelity: str
    exact: bool = False


# No policy has HiFi4: with it sums in 32 bits go wrong on Wormhole (tt-metal issues 38306 and 39562), and sums in 16
# bits miss the accuracy contract (docs/accuracy.md). None has bfloat4_b weights: normally distributed ones are off by
# 12 % in it, by 0.7 % in bfloat8_b (the norm of the error over that of the weights, as TT-NN 0.81.1 converts them).
POLICIES: Mapping[str, Precision] = {
    policy.name: policy
    for policy in (
        Precision("exact", DType.BFLOAT16, "HiFi3", exact=True),
        Precision("bf16-hifi3", DType.BFLOAT16, "HiFi3"),
        Precision("bf16-hifi2", DType.BFLOAT16, "HiFi2"),
        Precision("bfp8-hifi3", DType.BFLOAT8_B, "HiFi3"),
        Precision("bfp8-hifi2", DType.BFLOAT8_B, "HiFi2"),
    )
}
# Of any module: nothing is known of what its weights bear.
DEFAULT_POLICY = "bf16-hifi3"
# Of Whisper: the fastest that meets the accuracy contract with tiny.en and base (docs/accuracy.md).
WHISPER_POLICY = "bfp8-hifi3"


def policy(name: str) -> Precision:
    """The policy of that name; OptionError names those that there are."""
    if name not in POLICIES:
        raise OptionError(f"no precision is called {name!r}; there is {', '.join(POLICIES)}")
    return POLICIES[name]


@dataclass(frozen=True)
class CompileSettings:
    """What rules, guards and passes may decide by; ``strict`` makes any operation left on the host an error."""

    precision: Precision = POLICIES[DEFAULT_POLICY]
    board: Board = BOARDS["n150"]
    strict: bool = False
    blocklist: Blocklist = field(default_factory=Blocklist)
