"""Configurations that a search has chosen, in place of those that the passes before gave."""

from __future__ import annotations

from dataclasses import replace

from ttscribe.compiler.operations import OPERATIONS, Family
from ttscribe.compiler.operations.operation import activation_to_fuse
from ttscribe.compiler.program import Op, Program, Step
from ttscribe.compiler.settings import CompileSettings
from ttscribe.compiler.text import told_by_specs
from ttscribe.compiler.tuned import configured


def use_tuned(program: Program, settings: CompileSettings) -> Program:
    """A product for which the settings have a choice is configured by it; every other one stays as it is."""
    chosen = dict(settings.tuned.chosen)
    if not chosen:
        return program
    specs = program.specs()

    def tuned(step: Step) -> Step:
        if not isinstance(step, Op) or OPERATIONS[step.target].family is not Family.MATMUL:
            return step
        choice = chosen.get(told_by_specs(step, specs))
        return step if choice is None else configured(step, choice.config(activation_to_fuse(step)))

    return replace(program, body=tuple(map(tuned, program.body)))
