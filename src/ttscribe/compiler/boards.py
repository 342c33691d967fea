"""Tenstorrent boards: what the host software is told of them, and what they have."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ttscribe.errors import OptionError

KIB, GIB = 1 << 10, 1 << 30


@dataclass(frozen=True, slots=True)
class Board:
    """A board as its cluster descriptor tells it, and its memory; ``chips`` is how many of its chips are used.

    ``kind`` is the board's own name, ``identity`` its type as board ids carry it; ``harvested`` a mask of unused Tensix
    rows (Blackhole: columns) for each chip; ``links`` Ethernet links as (chip, channel, chip, channel). ``dram`` is in
    bytes of one chip, from Tenstorrent's product pages. ``grid`` are the columns and rows of cores that TT-NN leaves to
    programs. Results of at most ``results_in_l1`` bytes may lie in the L1 of
    all cores together: as many as leave a product's own buffers room there.
    """

    name: str
    kind: str
    architecture: str
    identity: int
    harvested: tuple[int, ...]
    dram: int
    grid: tuple[int, int]
    # Wormhole's channels; TT-NN's dram_grid_size is one row of them.
    dram_banks: int = 12
    # A core offers 1,393,312 B, of which a product's buffers, with sums of 32 bits, take more than half. 128 KiB a core
    # over 64 cores is room for two results and the buffers; with 256 KiB distil-large-v3's feed-forward product does
    # not fit.
    results_in_l1: int = 64 * 128 * KIB
    links: tuple[tuple[int, int, int, int], ...] = ()
    chips: int = 1
    harvested_ethernet: int = 0
    harvested_pcie: int = 0


# Of a Wormhole's 80 cores an n150 has a row of 8 switched off, each chip of an n300 two rows. Dispatch takes cores too:
# TT-NN leaves 8 x 8 of an n150's to programs.
# A product over an n300's 56 cores has larger blocks: with 128 KiB a core distil-large-v3's encoder is over the limit.
_N300 = Board(
    "n300",
    "n300",
    "wormhole_b0",
    0x14,
    (0x41, 0x05),
    12 * GIB,
    (8, 7),
    results_in_l1=56 * 64 * KIB,
    links=((0, 8, 1, 0), (0, 9, 1, 1)),
)
BOARDS = {
    board.name: board
    for board in (
        Board("n150", "n150", "wormhole_b0", 0x18, (0x20,), 12 * GIB, (8, 8)),
        _N300,
        replace(_N300, name="n300x2", chips=2),
        Board(
            "p150", "p150", "blackhole", 0x40, (0,), 32 * GIB, (13, 10), 8, harvested_ethernet=0x120, harvested_pcie=2
        ),
    )
}


def board(name: str) -> Board:
    """The board of that name; OptionError names those that there are."""
    if name not in BOARDS:
        raise OptionError(f"no board is called {name!r}; there is {', '.join(BOARDS)}")
    return BOARDS[name]
