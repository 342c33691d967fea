"""Attention's heads: one product for query, key and value, and TT-NN's own calls to split and to join heads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ttscribe.compiler.passes.rewrite import Editor, consumers, producers, uses
from ttscribe.compiler.program import TILE_SIZE, Layout, Op, Program, Ref, Step

ATTENTION = "ttnn.transformer.scaled_dot_product_attention"
_HEADS_FIRST = (0, 2, 1, 3)


@dataclass(frozen=True, slots=True)
class _Projection:
    """``permute(reshape(linear(x)))``: a linear layer's result [B, T, H E] cut into heads [B, H, T, E]."""

    linear: Op
    permute: Op
    heads: int

    @property
    def output(self) -> str:
        return self.permute.output.name

    @property
    def x(self) -> str:
        return self.linear.operands[0]


def fuse_heads(program: Program) -> Program:
    """Cut heads with ``nlp_create_qkv_heads``: all three at once where query, key and value share their input."""
    made, counts, editor = producers(program), uses(program), Editor(program)
    found = [_projection(op, made, counts, editor) for op in program.ops]
    groups = _groups([item for item in found if item is not None], consumers(program), editor)
    body: list[Step] = []
    emitted: set[str] = set()
    for step in program.body:
        name = step.output.name if isinstance(step, Op) and len(step.outputs) == 1 else ""
        if name not in groups:
            body.append(step)
        elif name not in emitted:
            body += _cut(editor, groups[name])
            emitted.update(projection.output for projection in groups[name])
    return editor.finish(body)


def _projection(op: Op, made: Mapping[str, Op], counts: Counter[str], editor: Editor) -> _Projection | None:
    if op.target != "ttnn.permute" or op.attribute("dims") != _HEADS_FIRST:
        return None
    reshape = made.get(op.operands[0])
    linear = made.get(reshape.operands[0]) if reshape is not None and reshape.target == "ttnn.reshape" else None
    if reshape is None or linear is None or linear.target != "ttnn.linear":
        return None
    before, after = editor.spec(linear.output.name).shape, editor.spec(reshape.output.name).shape
    alone = counts[reshape.output.name] == 1 and counts[linear.output.name] == 1
    if not alone or len(before) != 3 or before[:2] != after[:2] or after[-1] % TILE_SIZE:
        return None
    return _Projection(linear, op, after[2])


def _groups(
    projections: list[_Projection], readers: Mapping[str, list[Op]], editor: Editor
) -> dict[str, tuple[_Projection, ...]]:
    """For each projection's output, the projections that are computed with it: (query, key, value), or itself."""
    by_input: dict[str, dict[int, _Projection]] = {}
    groups: dict[str, tuple[_Projection, ...]] = {}
    for projection in projections:
        groups[projection.output] = (projection,)
        role = _role(projection.output, readers)
        if role is not None and _is_plain(editor, projection.linear):
            by_input.setdefault(projection.x, {}).setdefault(role, projection)
    for roles in by_input.values():
        if sorted(roles) == [0, 1, 2] and len({projection.heads for projection in roles.values()}) == 1:
            group = tuple(roles[role] for role in range(3))
            groups.update({projection.output: group for projection in group})
    return groups


def _is_plain(editor: Editor, linear: Op) -> bool:
    """Whether weight and bias are constants, and nothing else is asked of the product."""
    return not linear.attributes and all(editor.constant_source(name) for name in list(linear.inputs())[1:])


def _role(name: str, readers: Mapping[str, list[Op]]) -> int | None:
    """Which operand of attention a value is, directly or by way of a cache."""
    for reader in readers.get(name, []):
        if reader.target == ATTENTION and name in reader.operands:
            return reader.operands.index(name)
        if reader.target == "ttnn.scatter" and reader.operands[2] == name:
            return _role(reader.output.name, readers)
    return None


def _cut(editor: Editor, group: tuple[_Projection, ...]) -> list[Op]:
    linear = group[0].linear if len(group) == 1 else _joined_linear(editor, group)
    batch, length, width = editor.spec(linear.output.name).shape
    source = [name for projection in group for name in (*projection.linear.source, *projection.permute.source)]
    rows = editor.op("ttnn.reshape", linear.output.name, shape=(batch, 1, length, width), source=source[:1])
    names = [projection.output for projection in group]
    if len(group) == 1:
        names += [editor.fresh("no_key"), editor.fresh("no_value")]
    cut = editor.op(
        "ttnn.experimental.nlp_create_qkv_heads",
        rows.output.name,
        names=names,
        source=source,
        num_heads=group[0].heads,
        num_kv_heads=group[0].heads if len(group) == 3 else 0,
        transpose_k_heads=False,
    )
    return [linear, rows, cut] if len(group) == 3 else [rows, cut]


def _joined_linear(editor: Editor, group: tuple[_Projection, ...]) -> Op:
    """One product with the weights side by side; a projection without bias gets zeros."""
    weights = [_source(editor, projection.linear.operands[1]) for projection in group]
    stem = group[0].linear.source[0]
    like = editor.spec(group[0].linear.operands[1])
    joined = editor.at_setup("aten.cat.default", tuple(map(Ref, weights)), 1, name=f"{stem}_qkv_weight")
    biases = [projection.linear.keyword("bias") for projection in group]
    bias = None
    if any(biases):
        rows = tuple(Ref(_bias(editor, name, projection)) for name, projection in zip(biases, group, strict=True))
        given = next(name for name in biases if name is not None)
        row = editor.at_setup("aten.cat.default", rows, 1, name=f"{stem}_qkv_bias")
        bias = editor.constant(row, editor.spec(given))
    weight = editor.constant(joined, like)
    source = [name for projection in group for name in projection.linear.source]
    name = editor.fresh(f"{stem}_qkv")
    return editor.op("ttnn.linear", group[0].x, weight, names=[name], keywords={"bias": bias}, source=source)


def _source(editor: Editor, constant: str) -> str:
    source = editor.constant_source(constant)
    assert source is not None
    return source


def _bias(editor: Editor, name: str | None, projection: _Projection) -> str:
    if name is not None:
        return _source(editor, name)
    width = editor.spec(projection.linear.output.name).shape[-1]
    return editor.at_setup("aten.zeros.default", (1, width), name=f"{projection.linear.source[0]}_no_bias")


def join_heads(program: Program) -> Program:
    """``reshape(permute(heads))`` back to [B, T, H E] becomes ``nlp_concat_heads``."""
    made, counts, editor = producers(program), uses(program), Editor(program)
    body: list[Step] = []
    for step in program.body:
        permute = made.get(step.operands[0]) if isinstance(step, Op) and step.target == "ttnn.reshape" else None
        if not isinstance(step, Op) or permute is None or not _joins(editor, permute, step, counts):
            body.append(step)
            continue
        joined = editor.op("ttnn.experimental.nlp_concat_heads", permute.operands[0], source=permute.source)
        shape = step.attribute("shape")
        back = editor.op("ttnn.reshape", joined.output.name, names=[step.output.name], shape=shape, source=step.source)
        body += [joined, back]
    return editor.finish(body)


def _joins(editor: Editor, permute: Op, reshape: Op, counts: Counter[str]) -> bool:
    if permute.target != "ttnn.permute" or permute.attribute("dims") != _HEADS_FIRST:
        return False
    spec = editor.spec(permute.operands[0])
    batch, heads, length, width = spec.shape
    whole = reshape.attribute("shape") == (batch, length, heads * width)
    in_tiles = spec.layout is Layout.TILE and width % TILE_SIZE == 0
    return whole and in_tiles and counts[permute.output.name] == 1
