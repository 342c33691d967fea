"""What is published of Tenstorrent's chips and of tt-metal's software: ``constants.json``, each number with its source.

L1 and the network on the chip are not there: nothing published says what rate a TT-NN operation gets of them. What is
fitted and not published, the software of each release, ``bench/cost_model/fit.py`` makes again.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import msgspec

from ttscribe.compiler.program import DType


@dataclass(frozen=True, slots=True)
class Sourced:
    """A constant, its unit, and where it was published."""

    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip of a board.

    ``products`` is the rate of a large matrix product in FLOP/s, measured, by element type and math fidelity, such as
    "bfloat16 HiFi4"; ``small_product`` the seconds of a small one, replayed from a trace: what an operation takes that
    has little to do.
    """

    cores: Sourced
    clock: Sourced
    dram_peak: Sourced
    dram_measured: Sourced
    products: dict[str, Sourced]
    small_product: Sourced

    def peak(self, fidelity: str) -> float:
        """FLOP/s of all cores: none waits for data."""
        return self.cores.value * self.clock.value * CORE_RATE.value / PASSES[fidelity].value

    def measured(self, dtype: DType, fidelity: str) -> float:
        """FLOP/s of a large product.

        Where that was not measured, bfloat16's at that fidelity; of HiFi3 nothing was: HiFi4's, which is a pass more.
        """
        for measured in (f"{dtype.value} {fidelity}", f"bfloat16 {fidelity}"):
            if measured in self.products:
                return self.products[measured].value
        return self.products["bfloat16 HiFi4"].value


@dataclass(frozen=True, slots=True)
class Software:
    """What a projection assumes besides the chip.

    ``overhead_s`` is seconds for each device operation; ``slowdown`` how many times as long products and transfers take
    as a large product or the DRAM benchmark would; ``host_s`` seconds of the host before the first token.
    """

    overhead_s: float = 0.0
    slowdown: float = 1.0
    host_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Release:
    """A release of tt-metal on a chip: what was published of distil-large-v3 on it (TTFT in seconds, t/s/u), and the
    software that was fitted to that.
    """

    name: str
    chip: str
    traced: bool
    ttft_s: float
    rate: float
    source: str
    software: Software


@dataclass(frozen=True)
class _Constants:
    core_rate: Sourced
    tile_rows: Sourced
    host_link: Sourced
    passes: dict[str, Sourced]
    chips: dict[str, Chip]
    releases: tuple[Release, ...]


# Checked on import: msgspec refuses a file in which a number or its source is missing.
_PUBLISHED = msgspec.json.decode(files("ttscribe.reports").joinpath("constants.json").read_bytes(), type=_Constants)
CORE_RATE, TILE_ROWS, HOST_LINK = _PUBLISHED.core_rate, _PUBLISHED.tile_rows, _PUBLISHED.host_link
PASSES, RELEASES = _PUBLISHED.passes, _PUBLISHED.releases
N150, P150 = _PUBLISHED.chips["n150"], _PUBLISHED.chips["p150"]
# By the board that it is on; a chip of an n300 has an n150's rates and half of the card's 576 GB/s. Figures are of one
# window, which is on one chip of an n300x2.
CHIPS = {"n150": N150, "n300": N150, "n300x2": N150, "p150": P150}


def releases(chip: Chip) -> tuple[Release, ...]:
    """The releases that something is published of on a chip, the latest last."""
    return tuple(release for release in RELEASES if CHIPS[release.chip] is chip)
