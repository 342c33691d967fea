"""How to compile: for which board, at which precision, and what to leave in PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from ttscribe.compiler.blocklist import Blocklist
from ttscribe.compiler.boards import BOARDS, Board
from ttscribe.compiler.program import DType
from ttscribe.compiler.tuned import Tuned
from ttscribe.errors import OptionError

# Not HiFi4: with it sums in 32 bits go wrong on Wormhole (tt-metal issues 38306 and 39562), and sums in 16 bits miss
# the accuracy contract (docs/accuracy.md). Not LoFi, which reads 5 bits of an activation.
Fidelity: TypeAlias = Literal["HiFi3", "HiFi2"]
# Not bfloat4_b: normally distributed weights are off by 12 % in it, by 0.7 % in bfloat8_b (the norm of the error over
# that of the weights, as TT-NN 0.81.1 converts them).
WEIGHTS = (DType.BFLOAT16, DType.BFLOAT8_B)


@dataclass(frozen=True, slots=True)
class Override:
    """Another setting for some operations of a policy; what is None is the policy's.

    ``operations`` is a pattern over PROGRAM.PARAM of a product, the param being its weight as ``ttscribe compile``
    prints it ("encode.encoder_layers_*_fc1_weight"), and PROGRAM.OPERATION of attention
    ("encode.scaled_dot_product_attention"). ``reason`` is a sentence for the report.
    """

    operations: str
    reason: str
    fidelity: Fidelity | None = None
    weights: DType | None = None

    def __str__(self) -> str:
        settings = (self.fidelity, None if self.weights is None else f"{self.weights.value} weights")
        return f"{self.operations}: {' and '.join(filter(None, settings))} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Precision:
    """A precision policy.

    ``weights`` is the element type of weight matrices. Biases of products are float32, as the sums that they are added
    to; activations, other biases, norms and tables are bfloat16.
    ``fidelity`` is the math fidelity of matrix products and attention; convolutions, norms and sums always have HiFi3.
    Everything is summed in 32 bits. ``exact`` asks the emulator for float32 throughout, and changes nothing on a card.
    Of the ``overrides`` that match an operation the last counts.
    """

    name: str
    weights: DType
    fidelity: Fidelity
    exact: bool = False
    overrides: tuple[Override, ...] = ()

    @classmethod
    def read(cls, text: str, name: str) -> Precision:
        """A policy in JSON: ``weights``, ``fidelity`` and ``overrides``; OptionError says what is wrong with it."""
        try:
            fields = json.loads(text)
            overrides = tuple(Override(**_typed(each)) for each in fields.pop("overrides", ()))
            return cls(name, overrides=overrides, **_typed(fields))
        except (ValueError, TypeError, AttributeError) as error:
            raise OptionError(
                f"policy {name}: {error}; it is JSON: {{weights, fidelity[, overrides: "
                "[{operations, reason[, weights, fidelity]}]]}"
            ) from None

    def fidelity_of(self, names: tuple[str, ...]) -> Fidelity:
        """Of the operation that has ``names``, as an override's pattern may match them."""
        return next((each.fidelity for each in self._matching(names) if each.fidelity is not None), self.fidelity)

    def weights_of(self, names: tuple[str, ...]) -> DType:
        """Of the product that has ``names``."""
        return next((each.weights for each in self._matching(names) if each.weights is not None), self.weights)

    def _matching(self, names: tuple[str, ...]) -> list[Override]:
        return [each for each in reversed(self.overrides) if any(fnmatchcase(name, each.operations) for name in names)]


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of JSON with their types. Raises ValueError, TypeError."""
    typed = dict(fields)
    if "weights" in fields:
        typed["weights"] = DType(fields["weights"])
        if typed["weights"] not in WEIGHTS:
            raise ValueError(f"weights are {' or '.join(each.value for each in WEIGHTS)}, not {fields['weights']}")
    if fields.get("fidelity", "HiFi3") not in get_args(Fidelity):
        raise ValueError(f"fidelity is {' or '.join(get_args(Fidelity))}, not {fields['fidelity']}")
    return typed


def _packaged(name: str) -> Precision:
    """A policy that comes with ttscribe as a file."""
    text = files("ttscribe.compiler").joinpath("policies", f"{name}.json").read_text(encoding="utf-8")
    return Precision.read(text, name)


POLICIES: Mapping[str, Precision] = {
    policy.name: policy
    for policy in (
        Precision("exact", DType.BFLOAT16, "HiFi3", exact=True),
        Precision("bf16-hifi3", DType.BFLOAT16, "HiFi3"),
        Precision("bf16-hifi2", DType.BFLOAT16, "HiFi2"),
        Precision("bfp8-hifi3", DType.BFLOAT8_B, "HiFi3"),
        Precision("bfp8-hifi2", DType.BFLOAT8_B, "HiFi2"),
        # The decoder's steps wait for DRAM, and a cheaper fidelity would bring them nothing.
        _packaged("bfp8-mixed"),
    )
}
# Of any module: nothing is known of what its weights bear.
DEFAULT_POLICY = "bf16-hifi3"
# Of Whisper: the fastest that meets the accuracy contract with tiny.en and base (docs/accuracy.md).
WHISPER_POLICY = "bfp8-mixed"


def policy(name: str) -> Precision:
    """The policy of that name, or in the JSON file FILE.json; OptionError names those that there are."""
    if name.endswith(".json"):
        try:
            return Precision.read(Path(name).read_text(encoding="utf-8"), name)
        except OSError as error:
            raise OptionError(f"policy {name}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise OptionError(f"policy {name} is no text in UTF-8: {error}") from None
    if name not in POLICIES:
        raise OptionError(f"no precision is called {name!r}; there is {', '.join(POLICIES)}, and FILE.json")
    return POLICIES[name]


@dataclass(frozen=True)
class CompileSettings:
    """What rules, guards and passes may decide by; ``strict`` makes any operation left on the host an error.

    ``tuned`` has configurations of single calls that were found by a search, for that board.
    """

    precision: Precision = POLICIES[DEFAULT_POLICY]
    board: Board = BOARDS["n150"]
    strict: bool = False
    blocklist: Blocklist = field(default_factory=Blocklist)
    tuned: Tuned = field(default_factory=Tuned)
