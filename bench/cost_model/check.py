"""What the kernels' times add up to for decoders that they were not made from, beside what was published of those.

    bench/cost_model/check.py

A step is described operation by operation; weights are in shards of the DRAM banks, as tt_transformers has them.
Nothing is fitted. Our times are *projected*; the published rates others measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from ttscribe.compiler.program import DType
from ttscribe.reports.kernel_times import BETWEEN, Seconds, sharded_weights

TOLERANCE = 0.25
_DATA = Path(__file__).with_name("decoders.json")
# Of a layer besides its products: how many, and microseconds at least and at most, as ``kernel_times.PARTS`` has them.
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
    ("argmax", 1, 30, 50),
)


@dataclass(frozen=True, slots=True)
class Decoder:
    """A model's shape; of each ``rates``: its name, the types of attention's and of the MLP's weights, and t/s/u."""

    name: str
    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    rates: tuple[tuple[str, str, str, float], ...]

    def step(self, attention: DType, mlp: DType) -> Seconds:
        """Seconds of a token, at least and at most; the vocabulary's weights are bfloat8_b."""
        projected = self.heads * self.head_dim
        layer = [
            sharded_weights(self.width * (projected + 2 * self.kv_heads * self.head_dim) * attention.bytes),
            sharded_weights(projected * self.width * attention.bytes),
            *[sharded_weights(self.width * self.hidden * mlp.bytes)] * 3,
            *_operations(_LAYER),
        ]
        ends = [sharded_weights(self.width * self.vocabulary * DType.BFLOAT8_B.bytes), *_operations(_ENDS)]
        every = layer * self.layers + ends
        low, high = (sum(each[end] + BETWEEN[end] for each in every) for end in (0, 1))
        return low, high


@dataclass(frozen=True, slots=True)
class Checked:
    """A published rate beside the projected range, in t/s/u."""

    name: str
    mlp: str
    published: float
    least: float
    most: float

    @property
    def off(self) -> float:
        """By what part of the published rate the nearer end of the range misses it; 0 within the range."""
        nearest = min(max(self.published, self.least), self.most)
        return nearest / self.published - 1

    @property
    def middle_off(self) -> float:
        """The same of the range's middle."""
        return (self.least + self.most) / 2 / self.published - 1


def _operations(rows: tuple[tuple[str, int, float, float], ...]) -> list[Seconds]:
    return [(low * 1e-6, high * 1e-6) for _name, count, low, high in rows for _ in range(count)]


@dataclass(frozen=True)
class _Decoders:
    source: str
    models: tuple[Decoder, ...]


def checked() -> list[Checked]:
    """Every published rate of ``decoders.json``."""
    found = []
    for model in msgspec.json.decode(_DATA.read_bytes(), type=_Decoders).models:
        for name, attention, mlp, rate in model.rates:
            low, high = model.step(DType(attention), DType(mlp))
            found.append(Checked(f"{model.name}, {name}", mlp, rate, 1 / high, 1 / low))
    return found


if __name__ == "__main__":
    print("| n150, batch 1 | published t/s/u | projected | nearer end off | middle off |\n|---|---|---|---|---|")
    for each in checked():
        print(
            f"| {each.name} | {each.published} | {each.least:.1f} to {each.most:.1f} "
            f"| {each.off:+.0%} | {each.middle_off:+.0%} |"
        )
