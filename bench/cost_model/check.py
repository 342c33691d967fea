"""What the kernels' times add up to for models that they were not made from, beside what was published of those.

    bench/cost_model/check.py

Decoders, encoders and tt-metal's own Whisper, described operation by operation from their source. Nothing is fitted.
Our times are *projected*; the published rates others measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import msgspec

from ttscribe.compiler.program import TILE_SIZE, DType
from ttscribe.reports.constants import CHIPS, N150, P150, RELEASES
from ttscribe.reports.kernel_times import (
    BETWEEN,
    RATES,
    Range,
    Rates,
    added,
    core_bound,
    large_attention,
    large_product,
    moved,
    norm,
    sharded_weights,
)

TOLERANCE = 0.25
_DATA = Path(__file__).with_name("decoders.json")
# Operations of a decoder's layer besides its products: how many, and microseconds of an n150, as
# ``kernel_times.PARTS`` has them.
_LAYER = (
    ("sharded norms", 2, 7, 11),
    ("heads made", 1, 8, 13.3),
    ("rotary embeddings, as other small operations", 2, 2.2, 6),
    ("cache updates", 2, 5.3, 7.9),
    ("attention over the cache", 1, 10, 20),
    ("heads put together", 1, 6, 12),
    ("shards made or undone", 4, 1, 2.5),
    ("sums and the gate's product, sharded", 3, 1, 2),
)
# Once a step.
_ENDS = (
    ("embedding and moves", 3, 2.2, 6),
    ("norm", 1, 7, 11),
    ("untilize of logits", 1, 15, 40),
)
# GB/s of a read by the host, in pages of 2 KB and more: tt-metal issue 27846, 3.06 to 7.38 GiB/s.
_TO_HOST = (3.06 * 1.073741824, 7.38 * 1.073741824)
# Of weights in bfloat4_b one rate is published: 120 GB/s (tt-metal issue 11063).
_SLOW_BFLOAT4 = 120
# TFLOP/s of large products whose tensors are all bfloat8_b, at HiFi2: tech_reports/GEMM_FLOPS.
_BFLOAT8 = {N150: (87.0, 95.0), P150: (322 * 110 / 130, 322.0)}
# Of the GELU by a table, microseconds a tile: tt-metal issue 52407 (223 cycles), pull request 27283 (1.3).
_TABLE_GELU = (0.17, 1.3)


@dataclass(frozen=True, slots=True)
class Checked:
    """What was published of a model, beside the projected range: both in the same ``unit``, higher is faster."""

    name: str
    unit: str
    published: float
    least: float
    most: float

    @classmethod
    def of(cls, name: str, unit: str, published: float, seconds: Range, each: float = 1.0) -> Checked:
        """Of so many of the unit in so many seconds, at least and at most."""
        return cls(name, unit, published, each / seconds[1], each / seconds[0])

    @property
    def off(self) -> float:
        """By what part of the published rate the nearer end of the range misses it; 0 within the range."""
        nearest = min(max(self.published, self.least), self.most)
        return nearest / self.published - 1

    @property
    def middle_off(self) -> float:
        """The same of the range's middle."""
        return (self.least + self.most) / 2 / self.published - 1


@dataclass(frozen=True, slots=True)
class Decoder:
    """A model's shape; of each ``rates``: its name, the types of attention's and of the MLP's weights, t/s/u, board."""

    name: str
    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    rates: tuple[tuple[str, str, str, float, str], ...]

    def step(self, attention: DType, mlp: DType, rates: Rates) -> Range:
        """Seconds of a token whose vocabulary's weights are bfloat8_b, and which the host picks.

        On one chip the host is the faster to pick it: of Llama-3.2-3B on an n150 the same step makes 49.8 t/s/u where
        the host does, and 11.2 where the card does (tt-metal pull request 47349). It reads logits of 32 rows.
        """
        projected = self.heads * self.head_dim
        layer = [
            _weights(self.width * (projected + 2 * self.kv_heads * self.head_dim), attention, rates),
            _weights(projected * self.width, attention, rates),
            *[_weights(self.width * self.hidden, mlp, rates)] * 3,
            *_operations(_LAYER, rates),
        ]
        ends = [_weights(self.width * self.vocabulary, DType.BFLOAT8_B, rates), *_operations(_ENDS, rates)]
        return added(*(added(each, BETWEEN) for each in (*layer * self.layers, *ends)), self.logits())

    def logits(self) -> Range:
        """Seconds to read 32 rows of logits in bfloat16."""
        return moved(TILE_SIZE * self.vocabulary * 2, _TO_HOST)


def _weights(count: int, dtype: DType, rates: Rates) -> Range:
    slow = replace(rates, shards=(_SLOW_BFLOAT4, rates.shards[1]))
    return sharded_weights(count * dtype.bytes, slow if dtype is DType.BFLOAT4_B else rates)


def _operations(rows: tuple[tuple[str, int, float, float], ...], rates: Rates) -> Iterator[Range]:
    for _name, count, low, high in rows:
        for _ in range(count):
            yield core_bound(low, high, rates)


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder whose tensors are bfloat8_b in L1, products at HiFi2, as tt-metal's demos have them."""

    name: str
    layers: int
    width: int
    hidden: int
    heads: int
    positions: int

    def seconds(self, batch: int, rates: Rates) -> Range:
        """Seconds of a batch, from embeddings to the last layer's states."""
        rows, tiles = batch * self.positions, batch * self.positions / TILE_SIZE
        of_a_core = ceil(tiles / rates.cores)
        products = 2 * rows * self.width * (4 * self.width + 2 * self.hidden)
        gelu = tiles * self.hidden / TILE_SIZE / rates.cores
        queries = ceil(self.positions / TILE_SIZE / 8)
        attention = 4 * batch * self.positions**2 * self.width
        columns = self.width / TILE_SIZE
        within = tiles * columns / rates.cores
        layer = added(
            large_product(products, _BFLOAT8[rates.chip]),
            core_bound(_TABLE_GELU[0] * gelu, _TABLE_GELU[1] * gelu, rates),
            large_attention(batch * self.heads * queries, attention, "HiFi2", rates),
            *[norm(int(of_a_core * columns), rates)] * 2,
            # Two sums and heads made and put together, within L1, at 4 us for 30 tiles (assumed) to twice that.
            *[core_bound(4 / 30 * within, 8 / 30 * within, rates)] * 4,
        )
        return added(*[added(layer, *[BETWEEN] * 11)] * self.layers)


BERT = Encoder("BERT-large", 24, 1024, 4096, 16, 384)
VIT = Encoder("ViT-base", 12, 768, 3072, 12, 224)
# tt-metal models/README.md (02068156, November 2025): a second, by batches of so many.
_ENCODERS = (
    (BERT, "sentences/s", 8, 270.0, "n150"),
    (VIT, "images/s", 8, 1370.0, "n150"),
    (VIT, "images/s", 10, 3700.0, "p150"),
)


def their_step(rates: Rates) -> Range:
    """What the card does in a step of tt-metal's distil-large-v3: 98 device operations, 42 in each of two layers.

    By models/demos/audio/whisper/tt/ttnn_optimized_functional_whisper.py (040a27c1): weights are bfloat16 and
    interleaved, norms take one core, and what is not named below (transposes, moves between layouts, L1 and DRAM,
    heads) are small operations.
    """
    width, layers, vocabulary, positions = 1280, 2, 51_872, 1504
    weights = [width * 3 * width, *[width * width] * 3, *[4 * width * width] * 2] * layers
    products = [added(moved(2 * each, rates.row), (0.0, 5e-6)) for each in weights]
    vocabulary_s = added(moved(2 * width * vocabulary, rates.wide_row), (0.0, 5e-6))
    norms = [norm(width // TILE_SIZE, rates)] * (3 * layers + 1)
    cross = [moved(2 * 2 * width * positions, rates.caches)] * layers
    own = [*[core_bound(5.3, 7.9, rates)] * 2, core_bound(10, 20, rates)] * layers
    ends = [core_bound(15, 40, rates), core_bound(30, 50, rates)]
    named = [*products, vocabulary_s, *norms, *cross, *own, *ends]
    small = [core_bound(2.2, 6, rates)] * (98 - len(named))
    return added(*(added(each, BETWEEN) for each in (*named, *small)))


def checked() -> list[Checked]:
    """Every published rate, of ``decoders.json`` first."""
    found = []
    for model in msgspec.json.decode(_DATA.read_bytes(), type=_Decoders).models:
        for name, attention, mlp, rate, board in model.rates:
            seconds = model.step(DType(attention), DType(mlp), RATES[CHIPS[board]])
            found.append(Checked.of(f"{model.name}, {name}, {board}", "t/s/u", rate, seconds))
    for encoder, unit, batch, rate, board in _ENCODERS:
        seconds = encoder.seconds(batch, RATES[CHIPS[board]])
        found.append(Checked.of(f"{encoder.name}, batch {batch}, {board}", unit, rate, seconds, batch))
    latest = RELEASES[-1]
    seconds = their_step(RATES[CHIPS[latest.chip]])
    found.append(Checked.of(f"tt-metal's distil-large-v3, {latest.name}", "t/s/u", latest.rate, seconds))
    return found


@dataclass(frozen=True)
class _Decoders:
    source: str
    models: tuple[Decoder, ...]


def rows() -> Iterator[tuple[object, ...]]:
    """Those of the table in docs/cost_model.md."""
    for each in checked():
        yield (
            each.name,
            f"{each.published:g} {each.unit}",
            f"{each.least:.0f} to {each.most:.0f}",
            f"{each.off:+.0%}",
            f"{each.middle_off:+.0%}",
        )


if __name__ == "__main__":
    from ttscribe.reports.pages import table

    print("\n".join(table(("model", "published", "projected", "nearer end off", "middle off"), rows())))
