"""The key-value cache: written in place, and read by attention where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ttscribe.compiler.editor import Rewriter, Rule
from ttscribe.compiler.passes.heads import ATTENTION
from ttscribe.compiler.program import TILE_SIZE, DType, Layout, Memory, Op, Program, Role, Sharding, TensorSpec
from ttscribe.compiler.settings import CompileSettings

_DECODE_HEADS = "ttnn.experimental.nlp_create_qkv_heads_decode"
_DECODE_ATTENTION = "ttnn.transformer.scaled_dot_product_attention_decode"
_KEEPS_NUMBERS = ("ttnn.reshape", "ttnn.expand", "ttnn.to_layout", "ttnn.typecast")


@dataclass(frozen=True, slots=True)
class _Write:
    """``scatter(cache, index, new)`` that is copied back into ``cache``, an input of the program."""

    scatter: Op
    copy: Op

    @property
    def cache(self) -> str:
        return self.scatter.operands[0]

    @property
    def index(self) -> str:
        return self.scatter.operands[1]

    @property
    def new(self) -> str:
        return self.scatter.operands[2]


@dataclass(frozen=True, slots=True)
class _DecodeStep:
    """Attention of one new row of each of a batch over its caches, with what cut the heads and what wrote them."""

    attention: Op
    heads: Op
    writes: tuple[_Write, _Write]
    position: str


def update_caches_in_place(program: Program, _settings: CompileSettings) -> Program:
    """Rows written at fixed positions from 0 on become ``fill_cache``; single rows at tensor positions an update.

    With one new row of each of a batch, attention over the cache becomes decode attention, which masks by position.
    """
    caches = _Caches(program)
    return caches.rewriter.run(caches.rules())


class _Caches:
    """What the pass finds before it rewrites: ``fills`` are a prompt's writes, ``steps`` one row's, with attention."""

    def __init__(self, program: Program) -> None:
        self.rewriter = Rewriter(program)
        self.inputs = {value.name for value in program.inputs}
        writes = {write.scatter.output.name: write for write in self._writes()}
        self.fills = {name: write for name, write in writes.items() if self._is_prompt(write)}
        steps = self._decode_steps({name: write for name, write in writes.items() if name not in self.fills})
        self.steps = {step.attention.output.name: step for step in steps}
        self.heads = {step.heads.results[0]: step for step in steps}
        updated = [write for step in steps for write in step.writes]
        self.updates = {write.scatter.output.name for write in updated}
        self.copies = {id(write.copy) for write in (*self.fills.values(), *updated)}

    def rules(self) -> dict[str, Rule]:
        return {
            "ttnn.scatter": self._scatter,
            "ttnn.copy": lambda _, copy: [] if id(copy) in self.copies else None,
            "ttnn.experimental.nlp_create_qkv_heads": self._cut_and_write,
            ATTENTION: self._attend,
            "ttnn.experimental.nlp_concat_heads": self._join,
        }

    def _writes(self) -> list[_Write]:
        """Scatters along the rows whose result replaces the input that they read, which nothing else reads."""
        writes = []
        for copy in (op for op in self.rewriter.program.ops if op.target == "ttnn.copy"):
            source, cache = copy.operands
            scatter = self.rewriter.producer(source, "ttnn.scatter")
            # The cache is read by the scatter and named by the copy.
            alone = cache in self.inputs and self.rewriter.uses(cache) == 2
            if scatter is not None and alone and scatter.operands[0] == cache and scatter.attribute("dim") in (2, -2):
                writes.append(_Write(scatter, copy))
        return writes

    def _is_prompt(self, write: _Write) -> bool:
        """Whether the rows written are 0 up to the number of new rows."""
        index = self._data(write.index)
        cache, new = self.rewriter.spec(write.cache).shape, self.rewriter.spec(write.new).shape
        if index is None or new != (1, cache[1], new[2], cache[3]) or cache[0] != 1:
            return False
        # fill_cache has no offset: it writes from the first slot on.
        return torch.equal(index, torch.arange(new[2]).view(1, 1, -1, 1).expand(new))

    def _data(self, name: str) -> torch.Tensor | None:
        """What a value holds, where it is moves of a constant that is known without any param."""
        move = self.rewriter.producer(name, *_KEEPS_NUMBERS)
        if move is None:
            return self.rewriter.constant_data(name)
        data, shape = self._data(move.operands[0]), self.rewriter.spec(name).shape
        if data is None:
            return None
        return data.expand(shape) if move.target == "ttnn.expand" else data.reshape(shape)

    def _before_moves(self, name: str) -> str:
        """What a value was before moves that keep its numbers."""
        while (move := self.rewriter.producer(name, *_KEEPS_NUMBERS)) is not None:
            name = move.operands[0]
        return name

    def _decode_steps(self, writes: dict[str, _Write]) -> list[_DecodeStep]:
        """Attention calls over two caches that were just written at one tensor position."""
        # Cross-attention is not among them: over 1,500 keys TT-NN 0.81.1's decode attention fails by default, and with
        # chunks of 32 it is accepted, but its kernel does not mask the padding when it is not causal.
        attentions = [op for op in self.rewriter.program.ops if op.target == ATTENTION]
        over_writes = [op for op in attentions if op.operands[1] in writes and op.operands[2] in writes]
        steps = (self._decode_step(op, (writes[op.operands[1]], writes[op.operands[2]])) for op in over_writes)
        return [step for step in steps if step is not None]

    def _decode_step(self, attention: Op, writes: tuple[_Write, _Write]) -> _DecodeStep | None:
        query = attention.operands[0]
        heads = self.rewriter.producer(query)
        if heads is None or heads.results != (query, writes[0].new, writes[1].new):
            return None
        # Each is read once, but for what a scatter gives: by attention, and by the copy into the cache.
        alone = all(self.rewriter.uses(name) == 1 for name in heads.results)
        if not alone or any(self.rewriter.uses(write.scatter.output.name) != 2 for write in writes):
            return None
        key, value = (self._before_moves(write.index) for write in writes)
        users, _, rows, _ = self.rewriter.spec(query).shape
        whole = self.rewriter.spec(writes[0].cache).shape[2] % TILE_SIZE == 0
        fits = rows == 1 and users <= TILE_SIZE and whole
        if not fits or key != value or not self._masks_later(attention, key):
            return None
        if not all(self._is_of_each_user(write.index, users) for write in writes):
            return None
        return _DecodeStep(attention, heads, writes, key)

    def _masks_later(self, attention: Op, position: str) -> bool:
        """Whether ``position`` is an input, and the mask allows exactly the slots up to it."""
        mask = attention.keyword("attn_mask")
        slots = self.rewriter.spec(attention.operands[1]).shape[2]
        users = self.rewriter.spec(attention.operands[1]).shape[0]
        # The one form that both paged_update_cache and decode attention take, and plus_one too.
        wanted = TensorSpec((users,), DType.INT32, Layout.ROW_MAJOR)
        if mask is None or position not in self.inputs or self.rewriter.specs[position] != wanted:
            return False
        if self.rewriter.role(mask) is not Role.ADDITIVE_MASK:
            return False
        choice = self.rewriter.producer(mask)
        compare = None if choice is None else self.rewriter.producer(self._before_moves(choice.operands[0]), "ttnn.le")
        if compare is None or len(compare.operands) != 2:
            return False
        left, right = compare.operands
        counted = self._data(left)
        in_order = counted is not None and torch.equal(counted.flatten(), torch.arange(slots))
        whose = users == 1 or self.rewriter.spec(mask).shape == (users, 1, 1, slots)
        return in_order and whose and self._before_moves(right) == position and self._is_of_each_user(right, users)

    def _is_of_each_user(self, name: str, users: int) -> bool:
        """Whether moves of positions [users] leave each with its own user, who is the first dimension."""
        shape = self.rewriter.spec(name).shape
        spread = self.rewriter.producer(name, "ttnn.expand")
        if spread is not None:
            return shape[0] == users and self._is_of_each_user(spread.operands[0], users)
        return users == 1 or shape == (users, *(1,) * max(1, len(shape) - 1))

    def _scatter(self, rewriter: Rewriter, scatter: Op) -> list[Op] | None:
        """The prompt's rows fill the cache where they were scattered; a step's are written with the heads."""
        name = scatter.output.name
        if name in self.updates:
            return []
        if name not in self.fills:
            return None
        write = self.fills[name]
        rewriter.rename(name, write.cache)
        return [rewriter.call("ttnn.fill_cache", write.cache, write.new, source=scatter.source, batch_idx=0)]

    def _cut_and_write(self, rewriter: Rewriter, heads: Op) -> list[Op] | None:
        """Cut the heads in decode's own order, users before heads, and write key and value into their caches."""
        step = self.heads.get(heads.results[0]) if heads.results else None
        if step is None:
            return None
        users, _, _, width = rewriter.spec(heads.results[0]).shape
        (rows,) = heads.operands
        made = []
        if users > 1:
            shape = (1, 1, users, rewriter.spec(rows).shape[-1])
            made = [rewriter.call("ttnn.reshape", rows, names=[rewriter.fresh(f"{rows}_users")], shape=shape)]
            rows = made[0].output.name
        cut = rewriter.call(
            _DECODE_HEADS,
            rows,
            names=heads.results,
            source=heads.source,
            num_heads=heads.attribute("num_heads"),
            num_kv_heads=heads.attribute("num_kv_heads"),
            # paged_update_cache takes new rows from shards in L1 only, and decode attention takes queries so.
            # A user's rows are on one core.
            memory_config=Memory("l1", Sharding("height", (TILE_SIZE, width), users)),
        )
        updates = (
            rewriter.call(
                "ttnn.experimental.paged_update_cache",
                write.cache,
                write.new,
                keywords={"update_idxs_tensor": step.position},
                source=write.scatter.source,
            )
            for write in step.writes
        )
        return [*made, cut, *updates]

    def _attend(self, rewriter: Rewriter, attention: Op) -> list[Op] | None:
        name = attention.output.name
        step = self.steps.get(name)
        if step is None:
            return None
        shape = rewriter.spec(name).shape
        attended = rewriter.call(
            _DECODE_ATTENTION,
            attention.operands[0],
            *(write.cache for write in step.writes),
            names=[self._users(name)],
            keywords={"cur_pos_tensor": step.position},
            source=attention.source,
            scale=attention.attribute("scale"),
        )
        # [1, users, heads, E] and [users, heads, 1, E] are the same numbers in the same order.
        return [attended, rewriter.call("ttnn.reshape", attended.output.name, names=[name], shape=shape)]

    def _users(self, name: str) -> str:
        """What decode attention's own result is called."""
        return f"{name}_users"

    def _join(self, rewriter: Rewriter, concat: Op) -> list[Op] | None:
        """Joining the heads of single rows is a reshape of what decode attention gives."""
        if concat.operands[0] not in self.steps:
            return None
        shape = rewriter.spec(concat.output.name).shape
        attended = self._users(concat.operands[0])
        return [rewriter.call("ttnn.reshape", attended, names=concat.results, shape=shape, source=concat.source)]
