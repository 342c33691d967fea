"""Look-ups: rows are added before they are tiled, which saves a tiling."""

from __future__ import annotations

from dataclasses import replace

from ttscribe.compiler.editor import Rewriter, rewrite
from ttscribe.compiler.program import Layout, Op, Program
from ttscribe.compiler.settings import CompileSettings


def add_rows_before_tiling(program: Program, _settings: CompileSettings) -> Program:
    """``add(tiled rows, tiled rows)`` becomes ``tile(add(rows, rows))`` where both are looked up for this sum only."""
    return rewrite(program, {"ttnn.add": _add_rows})


def _add_rows(rewriter: Rewriter, add: Op) -> list[Op] | None:
    looked_up = [rewriter.producer(name, "ttnn.embedding") for name in add.operands]
    alone = all(rewriter.uses(name) == 1 for name in add.operands)
    if len(looked_up) != 2 or add.attributes or not alone:
        return None
    first, second = (rewriter.spec(name) for name in add.operands)
    if None in looked_up or first != second or first.layout is not Layout.TILE:
        return None
    for op in filter(None, looked_up):
        # ttnn.embedding gives rows unless it is asked for tiles, which costs it a launch of its own.
        kept = tuple(item for item in op.attributes if item[0] != "layout")
        rewriter.amend(op, rewriter.reinferred(replace(op, attributes=kept)))
    rows = rewriter.call("ttnn.add", *add.operands, source=add.source)
    return [
        rows,
        rewriter.call("ttnn.to_layout", rows.output.name, names=add.results, source=add.source, layout=Layout.TILE),
    ]
