"""What is published of Tenstorrent's boards: each constant with its unit and its source.

L1 and the network on the chip are not here: nothing published says what rate a TT-NN operation gets of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ttscribe.compiler.program import DType

_GEMM = "tt-metal tech_reports/GEMM_FLOPS"
_DRAM = "tt-metal tech_reports/Saturating_DRAM_bandwidth"
_LARGE = f"{_GEMM}, 4096 x 4096 x 4096, operands in DRAM, traced, 8 x 8 cores"
_LARGE_P150 = f"{_GEMM}, large products on 13 x 10 cores, rounded"


@dataclass(frozen=True, slots=True)
class Sourced:
    """A constant, its unit, and where it was published."""

    value: float
    unit: str
    source: str


CORE_RATE = Sourced(4096, "FLOP/cycle", f"{_GEMM}: a matrix engine multiplies 8 x 16 by 16 x 16 in a cycle, at LoFi")
TILE_ROWS = Sourced(32, "rows", f"{_GEMM}: a product of fewer rows takes as long as one of a whole tile")
HOST_LINK = Sourced(32e9, "byte/s", "docs.tenstorrent.com, n150 and p150 specifications: PCIe 4.0 x16, at its limit")
_PASSES_SOURCE = f"{_GEMM}: 16, 32, 48 and 64 cycles for a tile"
PASSES: Mapping[str, Sourced] = {
    "LoFi": Sourced(1, "passes", _PASSES_SOURCE),
    "HiFi2": Sourced(2, "passes", _PASSES_SOURCE),
    "HiFi3": Sourced(3, "passes", _PASSES_SOURCE),
    "HiFi4": Sourced(4, "passes", _PASSES_SOURCE),
}


@dataclass(frozen=True, slots=True)
class Board:
    """One chip of a board.

    ``products`` is the rate of a large matrix product in FLOP/s, measured, by element type and math fidelity;
    ``small_product`` the seconds of a small one, replayed from a trace: what an operation takes that has little to do.
    """

    name: str
    cores: Sourced
    clock: Sourced
    dram_peak: Sourced
    dram_measured: Sourced
    products: Mapping[tuple[DType, str], Sourced]
    small_product: Sourced

    def peak(self, fidelity: str) -> float:
        """FLOP/s of all cores: none waits for data."""
        return self.cores.value * self.clock.value * CORE_RATE.value / PASSES[fidelity].value

    def measured(self, dtype: DType, fidelity: str) -> float:
        """FLOP/s of a large product; where its element type was not measured, bfloat16's at that fidelity."""
        return self.products.get((dtype, fidelity), self.products[DType.BFLOAT16, fidelity]).value

    def constants(self) -> Iterator[tuple[str, Sourced]]:
        """Every constant with what it is."""
        yield "cores that a product uses", self.cores
        yield "clock", self.clock
        yield "DRAM, peak", self.dram_peak
        yield "DRAM, measured", self.dram_measured
        for (dtype, fidelity), rate in self.products.items():
            yield f"large product, {dtype.value} {fidelity}, measured", rate
        yield "small product, traced, measured", self.small_product


N150 = Board(
    "n150",
    cores=Sourced(64, "cores", f"{_GEMM}: 8 x 8 of the 72 of docs.tenstorrent.com's specifications"),
    clock=Sourced(1e9, "Hz", "docs.tenstorrent.com, Wormhole specifications"),
    dram_peak=Sourced(288e9, "byte/s", "docs.tenstorrent.com, Wormhole specifications"),
    dram_measured=Sourced(267e9, "byte/s", f"{_DRAM}: the reader benchmark at 12 Gbit/s"),
    products={
        (DType.BFLOAT16, "HiFi4"): Sourced(50.69e12, "FLOP/s", _LARGE),
        (DType.BFLOAT16, "HiFi2"): Sourced(68.45e12, "FLOP/s", _LARGE),
        (DType.BFLOAT8_B, "HiFi2"): Sourced(94.70e12, "FLOP/s", _LARGE),
    },
    small_product=Sourced(12.75e-6, "s", f"{_GEMM}, 512 x 512 x 512, bfloat16 HiFi4, traced, 8 x 8 cores"),
)
N300 = replace(
    N150,
    name="n300",
    dram_peak=Sourced(288e9, "byte/s", "docs.tenstorrent.com, Wormhole specifications: 576 for two chips"),
)
P150 = Board(
    "p150",
    cores=Sourced(130, "cores", f"{_GEMM}: 13 x 10 of 2025's 140; 11 x 10 with later firmware, which leaves 120"),
    clock=Sourced(1.35e9, "Hz", f"{_GEMM}; docs.tenstorrent.com, Blackhole specifications"),
    dram_peak=Sourced(512e9, "byte/s", "docs.tenstorrent.com, Blackhole specifications"),
    dram_measured=Sourced(500e9, "byte/s", f"{_DRAM}, Blackhole: one reader next to each bank"),
    products={
        (DType.BFLOAT16, "HiFi4"): Sourced(168e12, "FLOP/s", _LARGE_P150),
        (DType.BFLOAT16, "HiFi2"): Sourced(317e12, "FLOP/s", _LARGE_P150),
        (DType.BFLOAT8_B, "HiFi2"): Sourced(322e12, "FLOP/s", _LARGE_P150),
    },
    small_product=Sourced(11.87e-6, "s", f"{_GEMM}, 640 x 704 x 704, bfloat16 HiFi4, traced, 11 x 10 cores"),
)
BOARDS: Mapping[str, Board] = {board.name: board for board in (N150, N300, P150)}
