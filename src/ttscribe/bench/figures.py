"""From raw runs to figures: medians, ratios of runs of the same round, and shares of the machine's limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from ttscribe.bench.results import OURS, Measured, Results, middle

# The peers' other settings trade memory for speed: this one is made for both.
_MEMORY_PEER = "faster-whisper int8"
_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
# Of the vocabulary's a step in int8 reads the upper halves; the few lower ones that it reads too are not counted.
_VOCABULARY_BYTES = _BYTES | {"int8": 0.5}


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of a run, and how it is shown: times ``scale`` in ``unit``, with so many ``digits``.

    ``against`` is the peer that it is compared with: the fastest where it is None. A row that is not ``compared`` says
    the same as another.
    """

    name: str
    of: Callable[[Measured], float]
    unit: str
    digits: int = 2
    scale: float = 1.0
    against: str | None = None
    compared: bool = True

    def shown(self, value: float) -> str:
        """The figure in the row's unit."""
        return f"{self.scale * value:.{self.digits}f}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of ttscribe over a peer's in the same round: the median, the lowest and the highest over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Share:
    """How near a stage comes to a limit of the machine: ``rate`` and ``limit`` are of ``amount``'s unit a second."""

    stage: str
    amount: float
    what: str
    unit: str
    seconds: float
    limit: float

    @property
    def rate(self) -> float:
        """What was reached."""
        return self.amount / self.seconds


ENCODER = Row("encoder, a window of 30 s", lambda run: middle(run.stages.encoder), "s")
FIRST_TOKEN = Row("first token (TTFT)", lambda run: middle(run.stages.first_token), "ms", 0, 1e3)
TOKEN = Row("each token after it", lambda run: middle(run.stages.token), "ms", 1, 1e3)


def rows(results: Results) -> list[Row]:
    """Every figure, in the order in which they are shown; less is better in those that are compared."""
    last = len(results.clips) - 1
    seconds = results.clips[last].seconds
    clips = [Row(f"{each.seconds:.0f} s of speech", _clip(index), "s") for index, each in enumerate(results.clips)]
    return [
        ENCODER,
        FIRST_TOKEN,
        TOKEN,
        *clips,
        Row("real-time factor", lambda run: run.clips[last].seconds / seconds, "", 3, compared=False),
        Row("tokens a second", lambda run: run.clips[last].tokens / run.clips[last].seconds, "t/s", 1, compared=False),
        Row("tokens of that text", lambda run: run.clips[last].tokens, "", 0, compared=False),
        Row("load, from the second start on", lambda run: run.load, "s"),
        Row("peak memory", lambda run: run.peak_mib, "MiB", 0, against=_MEMORY_PEER),
    ]


def _clip(index: int) -> Callable[[Measured], float]:
    return lambda run: run.clips[index].seconds


def value(results: Results, row: Row, system: str) -> float | None:
    """The median over the rounds; None where the system is absent."""
    found = [row.of(run) for run in results.rounds_of(system).values()]
    return median(found) if found else None


def ratio(results: Results, row: Row, peer: str) -> Ratio | None:
    """What ttscribe's runs are of the peer's, round by round; None without a round that has both."""
    ours, theirs = results.rounds_of(OURS), results.rounds_of(peer)
    found = [row.of(ours[each]) / row.of(theirs[each]) for each in ours if each in theirs]
    return Ratio(median(found), min(found), max(found)) if found else None


def compared_with(results: Results, row: Row) -> str | None:
    """The peer that the row is compared with; None where none was measured."""
    values = {peer: value(results, row, peer) for peer in peers(results)}
    known = {peer: each for peer, each in values.items() if each is not None}
    if row.against is not None:
        return row.against if row.against in known else None
    return min(known, key=known.__getitem__, default=None)


def peers(results: Results) -> list[str]:
    """The systems but ttscribe."""
    return [system for system in results.systems() if system != OURS]


def arithmetic(results: Results) -> str:
    """What ttscribe computed in."""
    return next(iter(results.rounds_of(OURS).values())).about["arithmetic"]


def shares(results: Results) -> list[Share]:
    """The stages of ttscribe beside the rounds' highest limits; none where what it computes in has no limit here.

    The encoder is bound by its products, and a token by reading the weights that it is multiplied by.
    """
    kind = arithmetic(results)
    products = [each.products[kind] for each in results.limits if kind in each.products]
    if kind not in _BYTES or not products:
        return []
    encoder, token = value(results, ENCODER, OURS), value(results, TOKEN, OURS)
    assert encoder is not None
    assert token is not None
    memory = max(each.memory for each in results.limits)
    read = results.layer_weights * _BYTES[kind] + results.vocabulary_weights * _VOCABULARY_BYTES[kind]
    return [
        Share("encoder", results.encoder_operations, f"operations of products in {kind}", "", encoder, max(products)),
        Share("token", read, f"of weights in {kind}", "B", token, memory),
    ]
