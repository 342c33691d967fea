"""Look-ups: rows are added before they are tiled, which saves a tiling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from ttscribe.compiler.passes.rewrite import Editor, producers, uses
from ttscribe.compiler.program import Layout, Op, Program, Step

_LOOKS_UP = "ttnn.embedding"


def add_rows_before_tiling(program: Program) -> Program:
    """``add(tiled rows, tiled rows)`` becomes ``tile(add(rows, rows))`` where both are looked up for this sum only."""
    made, counts, editor = producers(program), uses(program), Editor(program)
    sums = {id(op) for op in program.ops if _adds_rows(op, made, counts, editor)}
    looked_up = {id(made[name]) for op in program.ops if id(op) in sums for name in op.operands}
    body: list[Step] = []
    for step in program.body:
        if isinstance(step, Op) and id(step) in looked_up:
            kept = tuple(item for item in step.attributes if item[0] != "layout")
            body.append(editor.reinfer(replace(step, attributes=kept)))
        elif isinstance(step, Op) and id(step) in sums:
            rows = editor.op("ttnn.add", *step.operands, source=step.source)
            tiled = editor.op(
                "ttnn.to_layout", rows.output.name, names=[step.output.name], source=step.source, layout=Layout.TILE
            )
            body += [rows, tiled]
        else:
            body.append(step)
    return editor.finish(body)


def _adds_rows(op: Op, made: Mapping[str, Op], counts: Counter[str], editor: Editor) -> bool:
    if op.target != "ttnn.add" or len(op.operands) != 2 or op.attributes:
        return False
    sources = [made.get(name) for name in op.operands]
    found = all(source is not None and source.target == _LOOKS_UP for source in sources)
    alone = all(counts[name] == 1 for name in op.operands)
    first, second = (editor.specs[name] for name in op.operands)
    return found and alone and first == second and first.layout is Layout.TILE
