"""Cancel permutations and reshapes: sink them below element-wise calls until they meet their inverses."""

from ttscribe.compiler.passes.rewrite import Editor, producers, uses, written_inputs
from ttscribe.compiler.program import Op, Program, Step
from ttscribe.compiler.sharing import memory_owners

_UNARY = {"ttnn.gelu", "ttnn.relu", "ttnn.silu", "ttnn.tanh", "ttnn.sigmoid", "ttnn.to_layout", "ttnn.typecast"}
_MOVES = ("ttnn.permute", "ttnn.reshape")


def cancel_moves(program: Program) -> Program:
    """Repeat until nothing moves: each round sinks every move by one call and joins neighbours."""
    while True:
        after = _join(_sink(program))
        if after == program:
            return program
        program = after


def _sink(program: Program) -> Program:
    """``unary(move(x))`` becomes ``move(unary(x))`` where the move has no other reader."""
    made, counts, editor = producers(program), uses(program), Editor(program)
    body: list[Step] = []
    sunk: set[str] = set()
    for step in program.body:
        move = made.get(step.operands[0]) if isinstance(step, Op) and step.target in _UNARY else None
        if not isinstance(step, Op) or move is None or move.target not in _MOVES or move.output.name in sunk:
            body.append(step)
            continue
        if counts[move.output.name] != 1 or step.output.name in program.outputs:
            body.append(step)
            continue
        inner = editor.op(
            step.target, move.operands[0], keywords=dict(step.keywords), source=step.source, **step.attributes_by_name()
        )
        outer = editor.op(
            move.target, inner.output.name, names=[step.output.name], source=move.source, **move.attributes_by_name()
        )
        body += [inner, outer]
        sunk.add(step.output.name)
    return editor.finish(body)


def _join(program: Program) -> Program:
    """Two moves of one kind in a row become one, or none; what is moved out of the way of a write stays."""
    made, editor, written = producers(program), Editor(program), written_inputs(program)
    owners = memory_owners(program.body, editor.specs)
    body: list[Step] = []
    for step in program.body:
        if not isinstance(step, Op) or step.target not in _MOVES:
            body.append(step)
            continue
        before = made.get(step.operands[0])
        source = step.operands[0] if before is None else before.operands[0]
        if owners.get(source, source) in written:
            body.append(step)
            continue
        joined = _joined(editor, step, before) if before is not None and before.target == step.target else step
        if _is_identity(editor, joined):
            editor.rename(step.output.name, joined.operands[0])
        else:
            body.append(joined)
    return editor.finish(body)


def _joined(editor: Editor, step: Op, before: Op) -> Op:
    if step.target == "ttnn.reshape":
        attributes = {"shape": step.attribute("shape")}
    else:
        first, second = before.attribute("dims"), step.attribute("dims")
        attributes = {"dims": tuple(first[dim] for dim in second)}
    operand = before.operands[0]
    return editor.op(step.target, operand, names=[step.output.name], source=step.source, **attributes)


def _is_identity(editor: Editor, op: Op) -> bool:
    if op.target == "ttnn.permute":
        dims = op.attribute("dims")
        return bool(dims == tuple(range(len(dims))))
    return bool(editor.spec(op.operands[0]).shape == op.attribute("shape"))
