"""Lowering: ATen to TT-NN, one rule per overload with its guard beside it."""

from ttscribe.compiler.lowering import (
    attention,
    matmul,
    movement,
    normalisation,
    pointwise,
    reduction,
    state,
)
from ttscribe.compiler.lowering.driver import lower, refuse
from ttscribe.compiler.lowering.registry import RULES, Refusal, Rule

# Imported so that their rules are registered.
FAMILIES = (attention, matmul, movement, normalisation, pointwise, reduction, state)

__all__ = ["FAMILIES", "RULES", "Refusal", "Rule", "lower", "refuse"]
