"""The key-value cache: written in place, and read by attention where it stands."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch

from ttscribe.compiler.lowering.attention import MASKED
from ttscribe.compiler.passes.heads import ATTENTION
from ttscribe.compiler.passes.rewrite import Editor, constant_data, producers, uses
from ttscribe.compiler.program import TILE_SIZE, DType, Layout, Memory, Op, Program, Sharding, Step, TensorSpec

_DECODE_HEADS = "ttnn.experimental.nlp_create_qkv_heads_decode"
_DECODE_ATTENTION = "ttnn.transformer.scaled_dot_product_attention_decode"
_UPDATE = "ttnn.experimental.paged_update_cache"
_POSITION = TensorSpec((1,), DType.INT32, Layout.ROW_MAJOR)
_MOVES = ("ttnn.reshape", "ttnn.expand", "ttnn.to_layout", "ttnn.typecast")


@dataclass(frozen=True, slots=True)
class _Write:
    """``scatter(cache, index, new)`` that is copied back into ``cache``, an input of the program."""

    scatter: Op
    copy: Op

    @property
    def cache(self) -> str:
        return self.scatter.operands[0]

    @property
    def new(self) -> str:
        return self.scatter.operands[2]


def update_caches_in_place(program: Program) -> Program:
    """Rows written at fixed positions from 0 on become ``fill_cache``; one row at a tensor position an update.

    With one new row, attention over the cache becomes decode attention, which masks by position itself.
    """
    return _Caches(program).run()


class _Caches:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.editor = Editor(program)
        self.made = producers(program)
        self.counts = uses(program)
        self.inputs = {value.name for value in program.inputs}
        self.attended: dict[str, str] = {}
        writes = _writes(program, self.made, self.counts)
        self.fills = {w.scatter.output.name: w for w in writes if self._is_prompt(w)}
        self.steps = self._decode_steps(
            {w.scatter.output.name: w for w in writes if w.scatter.output.name not in self.fills}
        )
        done = [*self.fills.values(), *(w for step in self.steps.values() for w in step.writes)]
        self.copies = {id(write.copy) for write in done}
        self.scatters = {write.scatter.output.name for step in self.steps.values() for write in step.writes}

    def run(self) -> Program:
        body: list[Step] = []
        heads = {step.heads.outputs[0].name: step for step in self.steps.values()}
        for item in self.program.body:
            if not isinstance(item, Op):
                body.append(item)
                continue
            name = item.outputs[0].name if item.outputs else ""
            if id(item) in self.copies or name in self.scatters:
                continue
            if name in self.fills:
                body.append(self._fill(self.fills[name]))
            elif name in heads:
                body += self._write_row(heads[name])
            elif name in self.steps:
                body += self._attend(self.steps[name])
            elif item.target == "ttnn.experimental.nlp_concat_heads" and item.operands[0] in self.steps:
                body.append(self._join(item))
            else:
                body.append(item)
        return self.editor.finish(body)

    def _is_prompt(self, write: _Write) -> bool:
        """Whether the rows written are 0 up to the number of new rows."""
        index = self._data(write.scatter.operands[1])
        cache, new = self.editor.spec(write.cache).shape, self.editor.spec(write.new).shape
        if index is None or new != (1, cache[1], new[2], cache[3]) or cache[0] != 1:
            return False
        return torch.equal(index, torch.arange(new[2]).view(1, 1, -1, 1).expand(new))

    def _data(self, name: str) -> torch.Tensor | None:
        """What a value holds, where it is moves of a constant that is known without any param."""
        op = self.made.get(name)
        if op is None or op.target not in _MOVES:
            return constant_data(self.program, name)
        data, shape = self._data(op.operands[0]), self.editor.spec(name).shape
        if data is None:
            return None
        return data.expand(shape) if op.target == "ttnn.expand" else data.reshape(shape)

    def _through_moves(self, name: str) -> str:
        """What a value was before moves that keep its numbers."""
        while name in self.made and self.made[name].target in _MOVES:
            name = self.made[name].operands[0]
        return name

    def _fill(self, write: _Write) -> Op:
        self.editor.rename(write.scatter.output.name, write.cache)
        return self.editor.op("ttnn.fill_cache", write.cache, write.new, source=write.scatter.source, batch_idx=0)

    def _decode_steps(self, writes: dict[str, _Write]) -> dict[str, _DecodeStep]:
        """Attention calls over two caches that were just written at one tensor position, by their output's name."""
        found = {}
        for op in self.program.ops:
            if op.target != ATTENTION or op.operands[1] not in writes or op.operands[2] not in writes:
                continue
            step = self._decode_step(op, (writes[op.operands[1]], writes[op.operands[2]]))
            if step is not None:
                found[op.output.name] = step
        return found

    def _decode_step(self, attention: Op, writes: tuple[_Write, _Write]) -> _DecodeStep | None:
        heads = self.made.get(attention.operands[0])
        outputs = [value.name for value in heads.outputs] if heads is not None else []
        if heads is None or outputs != [attention.operands[0], writes[0].new, writes[1].new]:
            return None
        # Each is read once, but for what a scatter gives: by attention, and by the copy into the cache.
        alone = all(self.counts[name] == 1 for name in outputs)
        if not alone or any(self.counts[write.scatter.output.name] != 2 for write in writes):
            return None
        key, value = (self._through_moves(write.scatter.operands[1]) for write in writes)
        batch, _, rows, _ = self.editor.spec(attention.operands[0]).shape
        whole = self.editor.spec(writes[0].cache).shape[2] % TILE_SIZE == 0
        if (batch, rows) != (1, 1) or not whole or key != value or not self._masks_later(attention, key):
            return None
        return _DecodeStep(attention, heads, writes, key)

    def _masks_later(self, attention: Op, position: str) -> bool:
        """Whether ``position`` is an input, and the mask allows exactly the slots up to it."""
        mask = attention.keyword("attn_mask")
        where = self.made.get(mask or "")
        slots = self.editor.spec(attention.operands[1]).shape[2]
        if position not in self.inputs or self.editor.specs[position] != _POSITION:
            return False
        if where is None or where.target != "ttnn.where" or len(where.operands) != 1:
            return False
        if (where.attribute("true_value"), where.attribute("false_value")) != (0.0, MASKED):
            return False
        compare = self.made.get(self._through_moves(where.operands[0]))
        if compare is None or compare.target != "ttnn.le" or len(compare.operands) != 2:
            return False
        left, right = compare.operands
        counted = self._data(left)
        in_order = counted is not None and torch.equal(counted.flatten(), torch.arange(slots))
        return in_order and self._through_moves(right) == position

    def _write_row(self, step: _DecodeStep) -> list[Op]:
        """Cut the heads in decode's own order, users before heads, and write key and value into their caches."""
        _, _, _, width = self.editor.spec(step.attention.operands[0]).shape
        one_core = Memory("l1", Sharding("height", (TILE_SIZE, width), 1))
        cut = self.editor.op(
            _DECODE_HEADS,
            step.heads.operands[0],
            names=[value.name for value in step.heads.outputs],
            source=step.heads.source,
            num_heads=step.heads.attribute("num_heads"),
            num_kv_heads=step.heads.attribute("num_kv_heads"),
            memory_config=one_core,
        )
        written = [
            self.editor.op(
                _UPDATE,
                write.cache,
                write.new,
                keywords={"update_idxs_tensor": step.position},
                source=write.scatter.source,
            )
            for write in step.writes
        ]
        return [cut, *written]

    def _attend(self, step: _DecodeStep) -> list[Op]:
        query, name = step.attention.operands[0], step.attention.output.name
        attended = self.editor.op(
            _DECODE_ATTENTION,
            query,
            *(write.cache for write in step.writes),
            names=[self.editor.fresh(f"{name}_users")],
            keywords={"cur_pos_tensor": step.position},
            source=step.attention.source,
            scale=step.attention.attribute("scale"),
        )
        # For one user, [1, users, heads, E] and [users, heads, 1, E] are the same numbers in the same order.
        shape = self.editor.spec(name).shape
        turned = self.editor.op("ttnn.reshape", attended.output.name, names=[name], shape=shape)
        self.attended[name] = attended.output.name
        return [attended, turned]

    def _join(self, concat: Op) -> Op:
        """Joining one row's heads is a reshape of what decode attention gives."""
        attended = self.attended[concat.operands[0]]
        shape = self.editor.spec(concat.output.name).shape
        return self.editor.op("ttnn.reshape", attended, names=[concat.output.name], shape=shape, source=concat.source)


@dataclass(frozen=True, slots=True)
class _DecodeStep:
    """Attention of one new row over its caches, with what cut the heads and what wrote them."""

    attention: Op
    heads: Op
    writes: tuple[_Write, _Write]
    position: str


def _writes(program: Program, made: dict[str, Op], counts: Counter[str]) -> list[_Write]:
    """Scatters along the rows whose result replaces the input that they read, which nothing else reads."""
    inputs = {value.name for value in program.inputs}
    found = []
    for op in program.ops:
        if op.target != "ttnn.copy" or op.operands[1] not in inputs:
            continue
        scatter = made.get(op.operands[0])
        # The cache is read by the scatter and named by the copy.
        writes_back = scatter is not None and scatter.target == "ttnn.scatter" and scatter.operands[0] == op.operands[1]
        if scatter is not None and writes_back and counts[op.operands[1]] == 2 and scatter.attribute("dim") in (2, -2):
            found.append(_Write(scatter, op))
    return found
