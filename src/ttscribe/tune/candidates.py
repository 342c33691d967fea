"""Configurations that a product could have in place of its own, none of which changes a bit of what it computes.

An element of a result is the same sum in the same order whichever core takes it, as long as the inner dimension is cut
into the same blocks, and fidelity, registers and element types are the same. Candidates differ in nothing but which
cores have which tiles of the result, and how many tiles a core keeps in its registers at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, prod

from ttscribe.compiler.boards import Board
from ttscribe.compiler.operations import OPERATIONS, Family
from ttscribe.compiler.operations.kernels import inner_block
from ttscribe.compiler.program import TILE_SIZE, Config, Op, Spec, TensorSpec
from ttscribe.compiler.tuned import Configuration, Sharing

# Where the busiest core has this many times the tiles that the best sharing leaves it, nothing else makes up for it.
_WORST = 1.5
# Tiles of a result that a core's destination registers hold: of 16 bits, and half as many of 32.
_REGISTERS = 8


@dataclass(frozen=True, slots=True)
class _Product:
    """A product of ``rows`` by ``columns`` tiles, summed in blocks of ``block`` tiles, with so many ``registers``.

    ``present`` is its configuration, None where a core grid leaves that to TT-NN; ``in_shards`` says whether cores hold
    what it reads or gives already.
    """

    rows: int
    columns: int
    block: int
    registers: int
    present: Configuration | None
    in_shards: bool


@dataclass(frozen=True, slots=True)
class _Share:
    """What a core has of a result, in tiles, and at a time in its registers."""

    rows: int
    columns: int
    height: int
    width: int

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    @property
    def at_a_time(self) -> int:
        return self.height * self.width

    def is_worse_than(self, other: _Share) -> bool:
        """Whether ``other`` has no more to do, and no less at a time, and is not as good as this one in both."""
        no_better = other.tiles <= self.tiles and other.at_a_time >= self.at_a_time
        return no_better and (other.tiles, other.at_a_time) != (self.tiles, self.at_a_time)


def is_product(op: Op) -> bool:
    """Whether a call is a matrix product, which alone there are candidates for."""
    return OPERATIONS[op.target].family is Family.MATMUL


def candidates(op: Op, specs: Mapping[str, Spec], board: Board) -> list[Configuration]:
    """Those of a call, the most promising first; none where there is no choice. ``specs`` has what the call reads.

    First are those that leave the busiest core the fewest tiles, and of those that keep more tiles in registers.
    """
    product = _product(op, specs, board)
    if product is None:
        return []
    found = [*(_as_sharded(product) if product.in_shards else _on_any_cores(product, board.grid))]
    found = [each for each in found if each != product.present]
    least = min((_tiles(each) for each in found), default=0)
    promising = [each for each in found if _tiles(each) <= _WORST * least]
    return sorted(promising, key=lambda each: (_tiles(each), -each.out_subblock_h * each.out_subblock_w))


def _tiles(configuration: Configuration) -> int:
    """Of the busiest core."""
    return configuration.per_core_M * configuration.per_core_N


def _product(op: Op, specs: Mapping[str, Spec], board: Board) -> _Product | None:
    """A call whose configuration is a matter of sharing; None for any other."""
    if not is_product(op) or op.attribute("compute_kernel_config") is None:
        return None
    first, second, result = (*(specs[name] for name in op.operands), op.output.spec)
    assert isinstance(first, TensorSpec)
    assert isinstance(second, TensorSpec)
    assert isinstance(result, TensorSpec)
    transposed = op.attribute("transpose_a") or op.attribute("transpose_b")
    if transposed or prod(second.shape[:-2]) != 1:
        return None
    config: Config | None = op.attribute("program_config")
    present = None if config is None else Configuration.of(config)
    # Without a grid TT-NN applies an activation afterwards; with weights in the banks of DRAM a core's part is given.
    if present is None and (config is not None or op.attribute("core_grid") is None):
        return None
    *outer, columns = result.padded_shape
    columns_of_grid, rows_of_grid = board.grid
    return _Product(
        prod(outer) // TILE_SIZE,
        columns // TILE_SIZE,
        inner_block(op, first.shape, second.shape, columns_of_grid * rows_of_grid),
        _REGISTERS // 2 if op.attribute("compute_kernel_config")["fp32_dest_acc_en"] else _REGISTERS,
        present,
        any(spec.memory.sharding is not None for spec in (first, second, result)),
    )


def _on_any_cores(product: _Product, grid: tuple[int, int]) -> Iterator[Configuration]:
    """A block of the result for each core of the grid, or a few rows or columns of it for each."""
    x, y = grid
    over: Mapping[Sharing, tuple[int, int]] = {
        "blocks": (y, x),
        "transposed blocks": (x, y),
        "columns": (1, x * y),
        "rows": (x * y, 1),
    }
    for shared, (over_rows, over_columns) in over.items():
        shares = [
            _Share(rows, columns, *at_a_time)
            for rows in _shares(product.rows, over_rows)
            for columns in _shares(product.columns, over_columns)
            for at_a_time in at_a_time_of(rows, columns, product.registers)
        ]
        for share in shares:
            if not any(share.is_worse_than(other) for other in shares):
                yield _made(shared, grid, product.block, share)


def _as_sharded(product: _Product) -> Iterator[Configuration]:
    """With shards every core's part is given: only what it keeps in registers is not."""
    present = product.present
    if present is None:
        return
    rows, columns = present.per_core_M, present.per_core_N
    for at_a_time in at_a_time_of(rows, columns, product.registers, into_shard=True):
        yield _made(present.shared, present.grid, product.block, _Share(rows, columns, *at_a_time))


def _made(shared: Sharing, grid: tuple[int, int], block: int, share: _Share) -> Configuration:
    return Configuration(shared, grid, block, share.height, share.width, share.rows, share.columns)


def _shares(tiles: int, cores: int) -> tuple[int, ...]:
    """How many of so many tiles each of the cores takes: as few as can be, or one more, if that divides better."""
    least = ceil(tiles / cores)
    return (least,) if cores == 1 else (least, least + 1)


def at_a_time_of(rows: int, columns: int, most: int, *, into_shard: bool = False) -> list[tuple[int, int]]:
    """How high and wide parts can be, of at most so many tiles, into which rows by columns of tiles can be cut.

    Not those that have room within another one. What goes ``into_shard`` is one row high, or all columns wide.
    """
    heights = [height for height in range(1, min(rows, most) + 1) if rows % height == 0]
    widths = [width for width in range(1, min(columns, most) + 1) if columns % width == 0]
    pairs = [
        (height, width)
        for height in heights
        for width in widths
        if height * width <= most and not (into_shard and height > 1 and width < columns)
    ]

    def has_room(pair: tuple[int, int]) -> bool:
        return any(other != pair and other[0] >= pair[0] and other[1] >= pair[1] for other in pairs)

    return [pair for pair in pairs if not has_room(pair)]
