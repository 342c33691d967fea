"""One row of tiles spread over a row of cores: what a decoding step computes, and a prompt of up to 32 tokens.

Left to itself TT-NN normalises a row of tiles on a single core, and multiplies it by weights whose tiles lie all over
the banks of DRAM. Spread by columns, a norm takes all the cores of its shards, and a product has each bank send the
columns that it holds, at nearly the rate of DRAM (tt-metal, ``tech_reports/LLMs/llms.md``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, prod

from ttscribe.compiler.editor import Rewriter, Rule, rewrite
from ttscribe.compiler.memory import is_view
from ttscribe.compiler.operations import MOVES_IN, OPERATIONS
from ttscribe.compiler.operations.operation import activation_to_fuse
from ttscribe.compiler.program import (
    SHARDED_AS_MADE,
    TILE_SIZE,
    Config,
    DType,
    Layout,
    Memory,
    Op,
    Program,
    Sharding,
    Spec,
    TensorSpec,
    Value,
)
from ttscribe.compiler.settings import CompileSettings

# A product with such weights puts its result on cores in rows of eight, whatever cores it is asked for.
_MOST_CORES = 8
# In tiles: of narrower rows there is nothing to gain.
_NARROWEST = 8
_NORM, _PRODUCT, _SUM = "ttnn.layer_norm", "ttnn.linear", "ttnn.add"


def spread_rows(program: Program, settings: CompileSettings) -> Program:
    """Norms, products with weights and sums of one row of tiles go over cores; other calls get what they read back."""
    spreading = _Spreading(settings.board.dram_banks)
    rules: dict[str, Rule] = dict.fromkeys(OPERATIONS.keys() - {MOVES_IN}, spreading.bring_back)
    rules |= {
        _NORM: spreading.norm,
        _PRODUCT: spreading.product,
        _SUM: spreading.sum,
        "ttnn.to_layout": spreading.move,
        "ttnn.reshape": spreading.move,
    }
    return rewrite(program, rules)


class _Spreading:
    """The rules. A value keeps its name where its call can spread it; a copy in another form is made once."""

    def __init__(self, banks: int) -> None:
        self.banks = banks
        self._copies: dict[tuple[str, Memory], str] = {}
        # Where values that are spread now were to be: copies for other calls go there.
        self._placed: dict[str, Memory] = {}

    def norm(self, rewriter: Rewriter, norm: Op) -> list[Op]:
        (x,) = norm.operands
        spec = rewriter.spec(x)
        if not _is_row(spec) or _is_kept(rewriter, norm):
            return self.bring_back(rewriter, norm)
        cores = _cores(spec)
        config = Config(
            "LayerNormShardedMultiCoreProgramConfig",
            (
                ("compute_with_storage_grid_size", (cores, 1)),
                # With sums in 32 bits a sub-block has four tiles at most, and divides the shard.
                *(("subblock_w", 1), ("block_h", 1), ("block_w", _columns(spec) // cores), ("inplace", False)),
                *(("legacy_reduction", False), ("use_welford", False)),
            ),
        )
        return self._spread(rewriter, norm.with_attributes(program_config=config), (x,), cores)

    def product(self, rewriter: Rewriter, product: Op) -> list[Op]:
        x = product.operands[0]
        if not self._fits(rewriter, product) or not (x in self._placed or self._is_added(rewriter, product)):
            return self.bring_back(rewriter, product)
        cores = _cores(rewriter.spec(x))
        width, columns = (_columns(spec) // cores for spec in (rewriter.spec(x), product.output.spec))
        config = Config(
            "MatmulMultiCoreReuseMultiCastDRAMShardedProgramConfig",
            (
                # A block is a core's whole shard: as few blocks as can be.
                *(("in0_block_w", width), ("per_core_M", 1), ("per_core_N", columns)),
                *(("fused_activation", activation_to_fuse(product)), ("num_workers_per_dram_bank", 1)),
            ),
        )
        weight = self._in_banks(rewriter, product.operands[1])
        # The configuration says what these would.
        product = _without(replace(product, operands=(x, weight)), "core_grid", "activation")
        return self._spread(rewriter, product.with_attributes(program_config=config), (x,), cores)

    def sum(self, rewriter: Rewriter, add: Op) -> list[Op]:
        cores = next(filter(None, (self._cores_of(rewriter, name) for name in add.operands)), 0)
        if not cores or not _adds_rows(rewriter, add):
            return self.bring_back(rewriter, add)
        return self._spread(rewriter, add, add.operands, cores)

    def move(self, rewriter: Rewriter, op: Op) -> list[Op]:
        """What is only read by the calls above is spread at once as it is tiled, or as heads are joined."""
        (value,) = op.outputs
        readers = rewriter.readers(value.name)
        taken = _is_row(value.spec) and rewriter.uses(value.name) == len(readers)
        taken = taken and all(self._takes(rewriter, value, each) for each in readers)
        # A view is its operand's own memory.
        if not taken or is_view(op, rewriter.specs):
            return self.bring_back(rewriter, op)
        (*before, op) = self.bring_back(rewriter, op)
        return [*before, *self._spread(rewriter, op, (), _cores(value.spec))]

    def bring_back(self, rewriter: Rewriter, op: Op) -> list[Op]:
        """``op`` with copies of its operands that are spread, where they would have been."""
        made: list[Op] = []
        names = {
            name: self._copy(rewriter, name, self._placed[name], made) for name in op.inputs if name in self._placed
        }
        return [*made, op.reading(names)]

    def _spread(self, rewriter: Rewriter, op: Op, operands: Sequence[str], cores: int) -> list[Op]:
        """``op`` with these operands and its result spread over so many cores."""
        made: list[Op] = []
        names = {name: self._copy(rewriter, name, _shards(rewriter.spec(name), cores), made) for name in operands}
        value = op.output
        assert isinstance(value.spec, TensorSpec)
        self._placed[value.name] = value.spec.memory
        op = op.reading(names).with_attributes(memory_config=_shards(value.spec, cores))
        return [*made, rewriter.reinferred(op)]

    def _copy(self, rewriter: Rewriter, name: str, memory: Memory, made: list[Op]) -> str:
        """``name`` in that memory: itself, a copy that there is, or a new one, which is added to ``made``."""
        if rewriter.spec(name).memory == memory:
            return name
        if (name, memory) not in self._copies:
            copy = rewriter.call(
                "ttnn.to_memory_config",
                name,
                names=[rewriter.fresh(f"{name}_{'spread' if memory.sharding else 'whole'}")],
                memory_config=memory,
            )
            made.append(copy)
            self._copies[name, memory] = copy.output.name
        return self._copies[name, memory]

    def _takes(self, rewriter: Rewriter, value: Value, reader: Op) -> bool:
        """Whether a call will read ``value`` spread."""
        if reader.operands[0] == value.name and reader.target == _NORM:
            return not _is_kept(rewriter, reader)
        if reader.operands[0] == value.name and reader.target == _PRODUCT:
            return self._fits(rewriter, reader)
        return reader.target == _SUM and _adds_rows(rewriter, reader)

    def _fits(self, rewriter: Rewriter, product: Op) -> bool:
        """Whether a product is of a row by weights, and both can be cut for the same cores."""
        x, weight = product.operands
        spec, result = rewriter.spec(x), product.output.spec
        if not _is_row(spec) or not rewriter.is_constant(weight) or _is_kept(rewriter, product):
            return False
        assert isinstance(result, TensorSpec)
        transposed = product.attribute("transpose_a") or product.attribute("transpose_b")
        whole = result.shape[-1] % (TILE_SIZE * _cores(spec)) == 0 and result.dtype is DType.BFLOAT16
        return whole and len(rewriter.spec(weight).shape) == 2 and not transposed

    def _is_added(self, rewriter: Rewriter, product: Op) -> bool:
        """Whether a product's result is only added to what is spread."""
        name = product.output.name
        readers = rewriter.readers(name)
        if not len(readers) == rewriter.uses(name) == 1:
            return False
        (add,) = readers
        others = [other for other in add.operands if other != name]
        return (
            add.target == _SUM
            and _adds_rows(rewriter, add)
            and any(self._cores_of(rewriter, other) for other in others)
        )

    def _cores_of(self, rewriter: Rewriter, name: str) -> int:
        """Over how many cores a value, or a copy of it, is spread; none where neither is."""
        if name in self._placed:
            return _cores(rewriter.spec(name))
        copies = (memory.sharding for copied, memory in self._copies if copied == name)
        return next((sharding.cores for sharding in copies if sharding is not None), 0)

    def _in_banks(self, rewriter: Rewriter, weight: str) -> str:
        """The same weights with the columns shared out to DRAM's banks, in whole tiles."""
        spec = rewriter.spec(weight)
        rows, columns = spec.padded_shape
        shard = rows, TILE_SIZE * ceil(columns / TILE_SIZE / self.banks)
        memory = Memory("dram", Sharding("width", shard, self.banks))
        return rewriter.constant(rewriter.constant_source(weight), replace(spec, memory=memory))


def _is_row(spec: Spec) -> bool:
    """Whether a tensor is one row of whole tiles, and wide enough to be spread."""
    return (
        isinstance(spec, TensorSpec)
        and len(spec.shape) == 4
        and spec.dtype is DType.BFLOAT16
        and spec.layout is Layout.TILE
        and prod(spec.padded_shape[:-1]) == TILE_SIZE
        and spec.shape[-1] % TILE_SIZE == 0
        and _columns(spec) >= _NARROWEST
        and spec.memory != SHARDED_AS_MADE
    )


def _columns(spec: Spec) -> int:
    """Tiles of the row."""
    return int(spec.shape[-1]) // TILE_SIZE


def _cores(spec: Spec) -> int:
    """Over how many cores a row is spread, or can be in equal parts."""
    if isinstance(spec, TensorSpec) and spec.memory.sharding is not None:
        return spec.memory.sharding.cores
    return max(cores for cores in range(1, _MOST_CORES + 1) if _columns(spec) % cores == 0)


def _shards(spec: TensorSpec, cores: int) -> Memory:
    return Memory("l1", Sharding("width", (TILE_SIZE, spec.shape[-1] // cores), cores))


def _is_kept(rewriter: Rewriter, op: Op) -> bool:
    """Whether a call's result is read outside the program, where nobody knows of shards."""
    program, name = rewriter.program, op.output.name
    return name in program.outputs or any(name == value for _, value in program.mutations)


def _adds_rows(rewriter: Rewriter, add: Op) -> bool:
    """Whether a sum is of two rows of one shape, and all three can be spread."""
    specs = [rewriter.specs[name] for name in add.operands]
    alike = len(specs) == 2 and specs[0].shape == specs[1].shape and all(map(_is_row, specs))
    return alike and not _is_kept(rewriter, add)


def _without(op: Op, *names: str) -> Op:
    return replace(op, attributes=tuple((name, item) for name, item in op.attributes if name not in names))
