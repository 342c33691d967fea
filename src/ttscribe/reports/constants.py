"""What is published of Tenstorrent's chips, and of tt-metal's Whisper on them: ``constants.json``, with sources.

L1 and the network on the chip are not there: nothing published says what rate a TT-NN operation gets of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import msgspec


@dataclass(frozen=True, slots=True)
class Sourced:
    """A constant, its unit, and where it was published."""

    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip of a board: its cores, the clock of each in Hz, and the peak rate of its DRAM in byte/s."""

    cores: Sourced
    clock: Sourced
    dram_peak: Sourced

    def peak(self, fidelity: str) -> float:
        """FLOP/s of all cores: none waits for data."""
        return self.cores.value * self.clock.value * CORE_RATE.value / PASSES[fidelity].value


@dataclass(frozen=True, slots=True)
class Release:
    """A release of tt-metal on a chip, and what was published of distil-large-v3 on it: TTFT in seconds, t/s/u."""

    name: str
    chip: str
    ttft_s: float
    rate: float
    source: str


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
