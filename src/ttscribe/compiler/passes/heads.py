"""Attention's heads: one product for query, key and value, and TT-NN's own calls to split and to join heads."""

from __future__ import annotations

from dataclasses import dataclass

from ttscribe.compiler.editor import Rewriter, rewrite
from ttscribe.compiler.program import TILE_SIZE, Layout, Op, Program, Ref
from ttscribe.compiler.settings import CompileSettings

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


def fuse_heads(program: Program, _settings: CompileSettings) -> Program:
    """Cut heads with ``nlp_create_qkv_heads``: all three at once where query, key and value share their input."""
    rewriter = Rewriter(program)
    groups = _groups(rewriter)
    emitted: set[str] = set()

    def cut(rewriter: Rewriter, permute: Op) -> list[Op] | None:
        group = groups.get(permute.output.name)
        if group is None or permute.output.name in emitted:
            return None if group is None else []
        emitted.update(projection.output for projection in group)
        return _cut(rewriter, group)

    return rewriter.run({"ttnn.permute": cut})


def _projection(rewriter: Rewriter, permute: Op) -> _Projection | None:
    if permute.attribute("dims") != _HEADS_FIRST:
        return None
    reshape = rewriter.producer(permute.operands[0], "ttnn.reshape")
    linear = None if reshape is None else rewriter.producer(reshape.operands[0], "ttnn.linear")
    if reshape is None or linear is None:
        return None
    before, after = rewriter.spec(linear.output.name).shape, rewriter.spec(reshape.output.name).shape
    alone = rewriter.uses(reshape.output.name) == 1 and rewriter.uses(linear.output.name) == 1
    # TT-NN 0.81.1 refuses heads that are no whole tiles, such as 48 wide.
    if not alone or len(before) != 3 or before[:2] != after[:2] or after[-1] % TILE_SIZE:
        return None
    return _Projection(linear, permute, after[2])


def _groups(rewriter: Rewriter) -> dict[str, tuple[_Projection, ...]]:
    """For each projection's output, the projections that are computed with it: (query, key, value), or itself."""
    by_input: dict[str, dict[int, _Projection]] = {}
    groups: dict[str, tuple[_Projection, ...]] = {}
    permutes = (op for op in rewriter.program.ops if op.target == "ttnn.permute")
    for projection in filter(None, (_projection(rewriter, permute) for permute in permutes)):
        groups[projection.output] = (projection,)
        place = _place_in_attention(rewriter, projection.output)
        if place is not None and _is_plain(rewriter, projection.linear):
            by_input.setdefault(projection.linear.operands[0], {}).setdefault(place, projection)
    for places in by_input.values():
        if sorted(places) == [0, 1, 2] and len({projection.heads for projection in places.values()}) == 1:
            group = tuple(places[place] for place in range(3))
            groups.update({projection.output: group for projection in group})
    return groups


def _is_plain(rewriter: Rewriter, linear: Op) -> bool:
    """Whether weight and bias are constants, and nothing else is asked of the product."""
    return not linear.attributes and all(map(rewriter.is_constant, linear.inputs[1:]))


def _place_in_attention(rewriter: Rewriter, name: str) -> int | None:
    """Which operand of attention a value is, directly or by way of a cache."""
    for reader in rewriter.readers(name):
        if reader.target == ATTENTION and name in reader.operands:
            return reader.operands.index(name)
        if reader.target == "ttnn.scatter" and reader.operands[2] == name:
            return _place_in_attention(rewriter, reader.output.name)
    return None


def _cut(rewriter: Rewriter, group: tuple[_Projection, ...]) -> list[Op]:
    linear = group[0].linear if len(group) == 1 else _joined_linear(rewriter, group)
    batch, length, width = rewriter.spec(linear.output.name).shape
    source = [name for projection in group for name in (*projection.linear.source, *projection.permute.source)]
    rows = rewriter.call("ttnn.reshape", linear.output.name, shape=(batch, 1, length, width), source=source[:1])
    names = [projection.output for projection in group]
    if len(group) == 1:
        # TT-NN has no call for one part alone: asked for no heads of keys, it gives keys and values that have none.
        names += [rewriter.fresh("no_key"), rewriter.fresh("no_value")]
    cut = rewriter.call(
        "ttnn.experimental.nlp_create_qkv_heads",
        rows.output.name,
        names=names,
        source=source,
        num_heads=group[0].heads,
        num_kv_heads=group[0].heads if len(group) == 3 else 0,
        transpose_k_heads=False,
    )
    return [linear, rows, cut] if len(group) == 3 else [rows, cut]


def _joined_linear(rewriter: Rewriter, group: tuple[_Projection, ...]) -> Op:
    """One product with the weights side by side; a projection without bias gets zeros."""
    # Weights are [in, out] by now, so that the three lie side by side along the columns.
    weights = tuple(Ref(rewriter.constant_source(projection.linear.operands[1])) for projection in group)
    stem = group[0].linear.source[0]
    joined = rewriter.compute("aten.cat.default", weights, 1, name=f"{stem}_qkv_weight")
    weight = rewriter.constant(joined, rewriter.spec(group[0].linear.operands[1]))
    return rewriter.call(
        "ttnn.linear",
        group[0].linear.operands[0],
        weight,
        names=[rewriter.fresh(f"{stem}_qkv")],
        keywords={"bias": _joined_bias(rewriter, group, stem)},
        source=[name for projection in group for name in projection.linear.source],
    )


def _joined_bias(rewriter: Rewriter, group: tuple[_Projection, ...], stem: str) -> str | None:
    first = next(filter(None, (projection.linear.keyword("bias") for projection in group)), None)
    if first is None:
        return None
    rows = tuple(Ref(_bias(rewriter, projection.linear)) for projection in group)
    return rewriter.constant(
        rewriter.compute("aten.cat.default", rows, 1, name=f"{stem}_qkv_bias"), rewriter.spec(first)
    )


def _bias(rewriter: Rewriter, linear: Op) -> str:
    """The host value of a linear layer's bias: zeros where it has none."""
    bias = linear.keyword("bias")
    if bias is not None:
        return rewriter.constant_source(bias)
    width = rewriter.spec(linear.output.name).shape[-1]
    return rewriter.compute("aten.zeros.default", (1, width), name=f"{linear.source[0]}_no_bias")


def join_heads(program: Program, _settings: CompileSettings) -> Program:
    """``reshape(permute(heads))`` back to [B, T, H E] becomes ``nlp_concat_heads``."""
    return rewrite(program, {"ttnn.reshape": _concat_heads})


def _concat_heads(rewriter: Rewriter, reshape: Op) -> list[Op] | None:
    permute = rewriter.producer(reshape.operands[0], "ttnn.permute")
    if permute is None or not _joins(rewriter, permute, reshape):
        return None
    joined = rewriter.call("ttnn.experimental.nlp_concat_heads", permute.operands[0], source=permute.source)
    back = rewriter.call(
        "ttnn.reshape",
        joined.output.name,
        names=reshape.results,
        shape=reshape.attribute("shape"),
        source=reshape.source,
    )
    return [joined, back]


def _joins(rewriter: Rewriter, permute: Op, reshape: Op) -> bool:
    spec = rewriter.spec(permute.operands[0])
    if permute.attribute("dims") != _HEADS_FIRST:
        return False
    batch, heads, length, width = spec.shape
    whole = reshape.attribute("shape") == (batch, length, heads * width)
    in_tiles = spec.layout is Layout.TILE and width % TILE_SIZE == 0
    return whole and in_tiles and rewriter.uses(permute.output.name) == 1
