"""Cancel permutations and reshapes: sink them below element-wise calls until they meet their inverses."""

from __future__ import annotations

from typing import Any

from ttscribe.compiler.editor import Rewriter, Rule, rewrite
from ttscribe.compiler.memory import memory_owners, written_in_place
from ttscribe.compiler.operations import OPERATIONS, Extent
from ttscribe.compiler.program import Op, Program
from ttscribe.compiler.settings import CompileSettings

_REARRANGES = ("ttnn.permute", "ttnn.reshape")
_ELEMENTWISE = tuple(name for name, operation in OPERATIONS.items() if operation.extent is Extent.ELEMENT)


def cancel_moves(program: Program, _settings: CompileSettings) -> Program:
    """Repeat until nothing moves: each round sinks every move by one call and joins neighbours."""
    # It ends, because a move that sinks comes nearer to the end of the body, and joining only takes moves away.
    while True:
        after = _join(rewrite(program, dict.fromkeys(_ELEMENTWISE, _sinking())))
        if after == program:
            return program
        program = after


def _sinking() -> Rule:
    """``unary(move(x))`` becomes ``move(unary(x))`` where the move has no other reader."""
    sunk: set[str] = set()

    def sink(rewriter: Rewriter, unary: Op) -> list[Op] | None:
        move = rewriter.producer(unary.operands[0], *_REARRANGES) if len(unary.inputs) == 1 else None
        # A move that has come down in this round is no longer where the walk began.
        if move is None or move.output.name in sunk or rewriter.uses(move.output.name) != 1:
            return None
        if unary.output.name in rewriter.program.outputs:
            return None
        inner = rewriter.call(unary.target, move.operands[0], source=unary.source, **unary.attributes_by_name())
        sunk.add(unary.output.name)
        return [inner, _move(rewriter, move.target, inner.output.name, unary, move, **move.attributes_by_name())]

    return sink


def _move(rewriter: Rewriter, target: str, operand: str, result: Op, source: Op, **attributes: Any) -> Op:
    """A move that gives ``result``'s value."""
    return rewriter.call(target, operand, names=result.results, source=source.source, **attributes)


def _join(program: Program) -> Program:
    """Two moves of one kind in a row become one, or none; what is moved out of the way of a write stays."""
    written = written_in_place(program)
    owners = memory_owners(program.body, program.specs())

    def join(rewriter: Rewriter, step: Op) -> list[Op] | None:
        (operand,) = step.operands
        any_producer = rewriter.producer(operand)
        source = operand if any_producer is None else any_producer.operands[0]
        if owners.get(source, source) in written:
            return None
        before = rewriter.producer(operand, step.target)
        joined = step if before is None else _joined(rewriter, step, before)
        if _changes_nothing(rewriter, joined):
            rewriter.rename(step.output.name, joined.operands[0])
            return []
        return [joined]

    return rewrite(program, dict.fromkeys(_REARRANGES, join))


def _joined(rewriter: Rewriter, step: Op, before: Op) -> Op:
    (operand,) = before.operands
    if step.target == "ttnn.reshape":
        return _move(rewriter, step.target, operand, step, step, shape=step.attribute("shape"))
    first, second = before.attribute("dims"), step.attribute("dims")
    return _move(rewriter, step.target, operand, step, step, dims=tuple(first[dim] for dim in second))


def _changes_nothing(rewriter: Rewriter, move: Op) -> bool:
    if move.target == "ttnn.permute":
        dims = move.attribute("dims")
        return bool(dims == tuple(range(len(dims))))
    return bool(rewriter.spec(move.operands[0]).shape == move.attribute("shape"))
