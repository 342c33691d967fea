"""The one definition of "supported": a rule per ATen overload, with its guard beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from torch import fx

from ttscribe.compiler.program import Reason
from ttscribe.compiler.settings import CompileSettings

if TYPE_CHECKING:
    from ttscribe.compiler.lowering.builder import Builder


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node may not be lowered, and what to do about it."""

    reason: Reason
    sentence: str


# A guard decides by a node's meta values and by the settings: "not of this shape", "not on this board", "not at this
# precision". It never raises.
Guard: TypeAlias = Callable[[fx.Node, CompileSettings], Refusal | None]
Emit: TypeAlias = "Callable[[Builder, fx.Node], str | tuple[str, ...]]"
F = TypeVar("F", bound=Emit)


@dataclass(frozen=True, slots=True)
class Rule:
    """``emit`` appends TT-NN calls and names their results; ``guard`` refuses nodes that they would not fit.

    ``first`` is asked before the guard that all nodes share, where an operation has a reason of its own for something
    that no rule can take.
    """

    target: str
    emit: Emit
    guard: Guard
    first: Guard


RULES: dict[str, Rule] = {}


def accept(_node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    """The guard of a rule that takes whatever the common guard let through."""
    return None


def rule(*targets: str, guard: Guard = accept, first: Guard = accept) -> Callable[[F], F]:
    """Register the decorated function for ATen overloads such as "aten.linear.default"."""

    def register(emit: F) -> F:
        for target in targets:
            assert target not in RULES, f"two rules for {target}"
            RULES[target] = Rule(target, emit, guard, first)
        return emit

    return register
