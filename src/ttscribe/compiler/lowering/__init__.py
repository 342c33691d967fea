"""Lowering: ATen to TT-NN, one rule per overload with its guard beside it, in the file of its operation's family."""

from ttscribe.compiler.lowering import (
    attention,
    convolution,
    lookup,
    matmul,
    movement,
    normalisation,
    pointwise,
    reduction,
)
from ttscribe.compiler.lowering.driver import lower, refuse
from ttscribe.compiler.lowering.registry import RULES, Refusal, Rule

# Imported so that their rules are registered.
FAMILIES = (attention, convolution, lookup, matmul, movement, normalisation, pointwise, reduction)

__all__ = ["FAMILIES", "RULES", "Refusal", "Rule", "lower", "refuse"]
