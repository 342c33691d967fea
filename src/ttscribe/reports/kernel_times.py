"""What a program's kernels would take, added up from what others measured of like operations on the same chip.

No value here is fitted to Whisper, and each has its source. ``PARTS`` says for a kind of call how many seconds it takes
at least and at most on an n150; ``RATES`` what differs on a p150. Where of a p150 nothing is published, a call takes at
least what an n150's would at a p150's clock or DRAM rate, and at most what an n150's does. ``kernel_times`` adds them
up over a program as it was compiled, with the time between operations that are replayed from a trace. All of it is
*projected*. What is marked "assumed" nobody has published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from statistics import harmonic_mean

from ttscribe.audio import SAMPLE_RATE, WINDOW_SAMPLES
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.operations.operation import fused_activation
from ttscribe.compiler.program import TILE_SIZE, Config, Op, Program, Spec, TensorSpec
from ttscribe.reports.constants import N150, P150, Chip
from ttscribe.reports.schema import KernelTimes
from ttscribe.reports.work import FIRST_TOKEN, NEXT_TOKEN, Work, fidelity, work_of

_MICRO, _GIGA, _TERA = 1e-6, 1e9, 1e12
WINDOW_SECONDS = WINDOW_SAMPLES / SAMPLE_RATE
# A vocabulary's width, of which one row of tiles takes longer than what little there is to do in other calls of a step.
_WIDE = 10_000
Range = tuple[float, float]
"""At least and at most."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What differs between chips. Rates are (slow, fast) in GB/s and TFLOP/s; ``gelu`` is microseconds of a tile.

    Weights in ``shards`` of the DRAM's banks; in interleaved pages by a ``row`` of tiles, or a ``wide_row``, of the
    vocabulary; keys and values in ``caches``; ``products`` are large ones, by math fidelity. Other times are an n150's
    times ``core`` where a core's work sets them, and ``dram`` where bytes do, at least and at most. ``source`` is where
    those rates are from that an n150's parts do not name.
    """

    chip: Chip
    banks: int
    shards: Range
    row: Range
    wide_row: Range
    caches: Range
    products: Mapping[str, Range]
    gelu: Range
    core: Range = (1.0, 1.0)
    dram: Range = (1.0, 1.0)
    source: str = ""

    @property
    def cores(self) -> int:
        return int(self.chip.cores.value)


def _with_hifi3(hifi2: Range, hifi4: Range) -> Mapping[str, Range]:
    """Of HiFi3 nothing is published: the mean of the two times beside it."""
    slow, fast = (harmonic_mean(pair) for pair in zip(hifi2, hifi4, strict=True))
    return {"HiFi2": hifi2, "HiFi3": (slow, fast), "HiFi4": hifi4}


RATES = {
    N150: Rates(
        N150,
        BOARDS["n150"].dram_banks,
        shards=(200, 238),
        row=(130, 170),
        wide_row=(150, 185),
        caches=(110, 240),
        products=_with_hifi3((65.3, 72.0), (47.5, 51.0)),
        gelu=(2.3, 2.85),
    ),
    P150: Rates(
        P150,
        BOARDS["p150"].dram_banks,
        # One reader a bank gets 55 % of 512 GB/s, and 67 % where it does nothing but read.
        shards=(282, 344),
        row=(188, 363),
        wide_row=(188, 363),
        caches=(110, 363),
        # 13 x 10 cores, and the same with the 11 x 10 that later firmware leaves.
        products=_with_hifi3((317 * 110 / 130, 317.0), (168 * 110 / 130, 168.0)),
        # 2,849 cycles.
        gelu=(2.11, 2.85),
        core=(N150.clock.value / P150.clock.value, 1.0),
        dram=(N150.dram_peak.value / P150.dram_peak.value, 1.0),
        source="on a p150 by tt-metal pull requests 54242 and 47885 (weights), issue 57161 (caches), "
        "tech_reports/GEMM_FLOPS (large products) and issue 52407 (GELU); else at least at its clock or DRAM rate",
    ),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One TT-NN call: what it does, the chip's rates, its operands, first result, and bias where it has one."""

    work: Work
    rates: Rates
    operands: tuple[TensorSpec, ...]
    result: TensorSpec
    bias: TensorSpec | None = None

    @property
    def op(self) -> Op:
        return self.work.op

    @property
    def name(self) -> str:
        return self.op.target.rpartition(".")[2]

    @property
    def tile_rows(self) -> int:
        """Of the first operand: as many cores have something to do in a norm or a reduction."""
        return max(1, prod(self.operands[0].padded_shape[:-1]) // TILE_SIZE)

    def is_within_l1(self) -> bool:
        """Whether nothing of it is in DRAM."""
        return all(spec.memory.buffer == "l1" for spec in (*self.operands, self.result))

    def is_row(self) -> bool:
        """Whether there is one row of tiles, as in a step or for a prompt."""
        return self.tile_rows <= 1

    @property
    def columns(self) -> int:
        """Tiles of a row of the first operand."""
        return ceil(self.operands[0].shape[-1] / TILE_SIZE)

    def is_wide(self) -> bool:
        """Whether it has to do with logits of the whole vocabulary."""
        return max(prod(spec.shape) for spec in (*self.operands[:1], self.result)) > _WIDE

    @property
    def users(self) -> int:
        """How many windows a decode step is of: what attends to caches has them in its second dimension."""
        return int(self.operands[0].shape[1])

    def is_of_single_rows(self) -> bool:
        """Whether each of several tiles of rows has one row, as heads of a step with several windows have."""
        return self.tile_rows > 1 and self.result.shape[-2] == 1

    def is_configured(self, name: str) -> bool:
        """Whether its program configuration is of this class."""
        config = self.op.attribute("program_config")
        return isinstance(config, Config) and config.kind == name

    def gelu_tiles(self, cores: int) -> int:
        """How many tiles of the result each of so many cores takes GELU of."""
        fused = fused_activation(self.op)
        asked = self.op.attribute("activation") if fused is None else fused["op"]
        if asked not in ("gelu", "GELU"):
            return 0
        return ceil(self.tile_rows * self.result.shape[-1] / TILE_SIZE / cores)

    @property
    def weight_bytes(self) -> int:
        """What a product reads besides its first operand."""
        return self.operands[1].bytes + (0 if self.bias is None else self.bias.bytes)


@dataclass(frozen=True, slots=True)
class Part:
    """Seconds of calls of these ``names`` for which ``when`` holds, and where that is from."""

    names: tuple[str, ...]
    seconds: Callable[[Call], Range]
    source: str
    when: Callable[[Call], bool] = lambda _call: True


def core_bound(low: float, high: float, rates: Rates) -> Range:
    """So many microseconds of an n150, where a core's work sets them."""
    return low * _MICRO * rates.core[0], high * _MICRO * rates.core[1]


def moved(size: float, speed: Range, scale: Range = (1.0, 1.0)) -> Range:
    """Seconds of so many bytes at (slow, fast) GB/s, times ``scale``."""
    slow, fast = speed
    return size / fast / _GIGA * scale[0], size / slow / _GIGA * scale[1]


def added(*times: Range) -> Range:
    """One after another."""
    return sum(low for low, _ in times), sum(high for _, high in times)


def sharded_weights(size: float, rates: Rates) -> Range:
    """A product of one row of tiles with so many bytes of weights in the shards of the DRAM banks."""
    return added(moved(size, rates.shards), core_bound(5.4, 8, rates))


def gelu(tiles: int, rates: Rates) -> Range:
    """GELU of so many tiles of the busiest core: nothing else that a product does is as slow."""
    return rates.gelu[0] * _MICRO * tiles, rates.gelu[1] * _MICRO * tiles


def large_product(flops: float, speed: Range) -> Range:
    """A product of many rows of tiles at (slow, fast) TFLOP/s; at most what the slowest shape takes, and 15 % of it."""
    slow, fast = speed
    return flops / fast / _TERA, flops / slow / _TERA / 0.85


def norm(tiles: int, rates: Rates) -> Range:
    """A norm, or a reduction, of so many tiles of the busiest core."""
    return core_bound(0.38 * tiles, 1.2 * tiles, rates)


def _and_gelu(product: Callable[[Call], Range], cores: Callable[[Rates], int]) -> Callable[[Call], Range]:
    """A product, and GELU of its result where it has one, which so many cores take."""
    return lambda call: added(product(call), gelu(call.gelu_tiles(cores(call.rates)), call.rates))


def _each(low: float, high: float) -> Callable[[Call], Range]:
    """So many microseconds a device operation."""

    def seconds(call: Call) -> Range:
        operations = call.work.device_operations
        return core_bound(low * operations, high * operations, call.rates)

    return seconds


def _moved(slow: float, fast: float) -> Callable[[Call], Range]:
    """Its bytes in DRAM at so many GB/s of an n150."""
    return lambda call: moved(call.work.bytes_dram, (slow, fast), call.rates.dram)


def _within_l1(call: Call) -> Range:
    """At least what a sum of shards takes, 4 us for 30 tiles of a core (assumed); at most what DRAM would take."""
    tiles = ceil(call.tile_rows * call.columns / call.rates.cores)
    size = sum(spec.bytes for spec in (*call.operands, call.result))
    least, _ = core_bound(4 / 30 * tiles, 0, call.rates)
    return least, moved(size, (180, 180), call.rates.dram)[1]


def _row_of_weights(speed: Callable[[Rates], Range]) -> Callable[[Call], Range]:
    """Interleaved weights at such a rate, but no block of them in less than 0.6 us; with up to 5 us around."""

    def seconds(call: Call) -> Range:
        tiles = call.operands[1].shape[-2] // TILE_SIZE
        # core_grid takes blocks of one tile where the sum is 40 long, of two where it is longer.
        blocks = tiles if tiles <= 40 else tiles / 2
        read, chain = moved(call.weight_bytes, speed(call.rates)), core_bound(0.6 * blocks, 0.6 * blocks, call.rates)
        return max(read[0], chain[0]), max(read[1], chain[1]) + 5 * _MICRO

    return _and_gelu(seconds, lambda rates: rates.cores)


_CYCLES = {"HiFi2": 34.5, "HiFi3": 51.0, "HiFi4": 67.5}


def large_attention(units: int, flops: float, precision: str, rates: Rates) -> Range:
    """So many blocks of 256 queries, shared by the cores; the busiest one's matrix engine is busy 60 to 80 % of it."""
    share = ceil(units / rates.cores) / (units / rates.cores)
    cycles = flops / (2 * TILE_SIZE**3) / rates.cores * share * _CYCLES[precision]
    return cycles / rates.chip.clock.value / 0.8, cycles / rates.chip.clock.value / 0.6


def _large_attention(call: Call) -> Range:
    heads, queries = call.result.shape[1], ceil(call.result.shape[-2] / TILE_SIZE)
    return large_attention(heads * ceil(queries / 8), call.work.flops, fidelity(call.op), call.rates)


def larger(*times: Range) -> Range:
    """The longest, at least and at most."""
    return max(low for low, _ in times), max(high for _, high in times)


def _attention_to_cache(call: Call) -> Range:
    """10 to 20 us of one window; those beyond it take their caches' time too."""
    beyond = call.work.bytes_dram * (call.users - 1) / call.users
    return added(core_bound(10, 20, call.rates), moved(beyond, call.rates.caches))


def _joining_heads(call: Call) -> Range:
    return larger(core_bound(6, 12, call.rates), _within_l1(call))


_VALUE = 25e-3
"""Microseconds that a core takes for a value in argmax: tt-metal pull request 43255."""


def _argmax(low: float, high: float) -> Callable[[Call], Range]:
    """So many microseconds of one row; rows come one after another, each shared by all cores."""

    def seconds(call: Call) -> Range:
        rows = prod(call.operands[0].shape[:-1]) - 1
        beyond = rows * _VALUE * call.operands[0].shape[-1] / call.rates.cores
        return core_bound(low + beyond, high + beyond, call.rates)

    return seconds


def _norm(call: Call) -> Range:
    """A core has a row of tiles, or several."""
    return norm(call.columns * ceil(call.tile_rows / call.rates.cores), call.rates)


def _wide_elements(call: Call) -> Range:
    """Tiles spread over all cores, 0.4 to 1.5 us each, and never less than a small operation's 2 to 4 us."""
    tiles = ceil(call.tile_rows * call.columns / call.rates.cores)
    return core_bound(max(2.0, 0.4 * tiles), max(4.0, 1.5 * tiles), call.rates)


_ELEMENTS = ("add", "subtract", "divide", "exp", "where", "reciprocal")
PARTS: Sequence[Part] = (
    Part(
        ("linear",),
        # There is a core for each bank.
        _and_gelu(lambda call: sharded_weights(call.weight_bytes, call.rates), lambda rates: rates.banks),
        "tt-metal qwen3_tts (5.4 us and bytes at 238 GB/s), tt-mlir issue 8676 (70 to 80 % of the peak)",
        lambda call: call.is_configured("MatmulMultiCoreReuseMultiCastDRAMShardedProgramConfig"),
    ),
    Part(
        ("layer_norm",),
        _each(7, 11),
        "tt-metal issue 48279 (7.0 us), qwen3_tts PERF_NOTES (9 to 11)",
        lambda call: call.is_row() and call.is_configured("LayerNormShardedMultiCoreProgramConfig"),
    ),
    Part(
        ("linear",),
        _row_of_weights(lambda rates: rates.wide_row),
        "tt-metal pull requests 13340 (160 GB/s), 21252",
        lambda call: call.is_row() and call.is_wide(),
    ),
    Part(
        ("linear",),
        _row_of_weights(lambda rates: rates.row),
        "tt-metal pull requests 42593 (a multicast product beside a DRAM-sharded one; 0.6 us a block), 13340",
        Call.is_row,
    ),
    Part(
        ("linear",),
        _and_gelu(
            lambda call: large_product(call.work.flops, call.rates.products[fidelity(call.op)]),
            lambda rates: rates.cores,
        ),
        "tt-metal tech_reports/GEMM_FLOPS; GELU: issue 52407, pull request 27283",
    ),
    Part(("conv1d",), _each(80, 200), "assumed: 18 GFLOP and ten operations in 0.8 to 1.5 ms"),
    Part(("layer_norm",), _norm, "tt-metal qwen3_tts PERF_NOTES (0.38 us a tile), tt-mlir issue 7717 (1.2)"),
    Part(("max", "sum"), _norm, "as a norm's tiles: a core for each row of tiles"),
    Part(
        ("scaled_dot_product_attention",),
        lambda call: moved(call.work.bytes_dram, call.rates.caches),
        "tt-metal qwen3_tts PERF_NOTES (26.8 us for 352 keys)",
        lambda call: call.result.shape[-2] <= TILE_SIZE,
    ),
    Part(
        ("scaled_dot_product_attention",),
        _large_attention,
        "tt-metal issues 55760 (cycles a product of tiles), 55758 (60 to 81 % busy)",
    ),
    Part(
        ("scaled_dot_product_attention_decode",),
        _attention_to_cache,
        "tt-metal llama3_subdevices, pull request 20131; caches of several windows as other keys",
    ),
    Part(("nlp_create_qkv_heads_decode",), _each(8, 13.3), "tt-metal llama3_subdevices (8.2), qwen3_tts (13.3)"),
    Part(("nlp_create_qkv_heads",), _each(8, 12), "tt-metal qwen3_tts (31 us for 128 tiles on one core)", Call.is_row),
    Part(
        ("nlp_create_qkv_heads",),
        lambda call: larger(core_bound(8, 12, call.rates), _within_l1(call)),
        "as of one row; assumed, of several: at most what DRAM would take",
        Call.is_of_single_rows,
    ),
    Part(("nlp_create_qkv_heads",), _moved(140, 190), "assumed: what it reads from DRAM or writes there"),
    Part(
        ("nlp_concat_heads",),
        _joining_heads,
        "tt-metal qwen3_tts (12), llama3_subdevices (6.6)",
        lambda call: call.result.shape[-2] <= TILE_SIZE,
    ),
    Part(
        ("nlp_concat_heads", "add"),
        _within_l1,
        "assumed: between a sum of shards and its bytes in DRAM",
        lambda call: not call.is_row() and call.is_within_l1(),
    ),
    Part(("nlp_concat_heads",), _moved(170, 220), "its bytes in DRAM"),
    Part(("paged_update_cache",), _each(5.3, 7.9), "tt-metal qwen3_tts PERF_NOTES"),
    Part(("fill_cache",), _each(5.3, 12), "as an update, of more rows; assumed"),
    Part(
        _ELEMENTS,
        _wide_elements,
        "tt-metal llama3_subdevices (0.9 to 2.4 us), issue 20681 (2.9 to 4.6)",
        lambda call: call.is_row() or call.is_within_l1(),
    ),
    Part(_ELEMENTS, _moved(180, 220), "its bytes in DRAM"),
    Part(
        ("argmax",),
        _argmax(30, 50),
        "tt-metal pull request 43255 (25 ns a value of a core)",
        lambda call: call.operands[0].shape[-1] > _WIDE,
    ),
    Part(("argmax",), _argmax(5, 12), "the same, of fewer values"),
    Part(("to_layout",), _each(15, 40), "assumed, of logits", Call.is_wide),
    Part(("reshape",), _each(15, 40), "assumed, of logits", Call.is_wide),
    Part(("reshape",), _each(5, 10), "assumed"),
    Part(
        ("to_memory_config",),
        _each(0.9, 2.5),
        "tt-metal issue 48279 (0.9 and 1.0 us), llama3_subdevices",
        Call.is_row,
    ),
    Part(("plus_one", "copy"), _each(1, 2), "tt-metal llama3_subdevices"),
    Part(
        ("embedding", "typecast", "to_layout", "lt", "gt", "logical_or", "logical_and", "logical_not"),
        _each(2.2, 6),
        "tt-metal llama3_subdevices (typecast 2.2)",
    ),
)
_OTHERS = Part((), _each(2.2, 40), "assumed: of no call of Whisper's programs")
BETWEEN: Range = (0.7 * _MICRO, 1.0 * _MICRO)
"""From one replayed operation to the next, on an n150; of a p150 nothing is published: the same."""

HOST: Range = (5e-3, 15e-3)
"""Before the first token: log-mel features of 30 s, *measured* on a thread of three CPUs, 6.1 to 6.4 ms for 80 bins and
7.2 to 13.8 for 128; what crosses to the card, 1 MB of them, is nothing beside that."""

WINDOW_TOKENS = 103
"""Of 30 s in which somebody speaks, timestamps among them: 1,842 tokens by base in the 535 s of the reference set's
recordings that are longer than a window."""


def added_up(programs: Mapping[str, Program], chip: Chip) -> tuple[KernelTimes, ...]:
    """The programs that count for Whisper's figures, by kind of call; of other programs nothing."""
    counted = (*FIRST_TOKEN, *NEXT_TOKEN)
    if not {*counted} <= {*programs}:
        return ()
    return tuple(each for name in counted for each in kernel_times(programs[name], chip))


def kernel_times(program: Program, chip: Chip) -> list[KernelTimes]:
    """A program's seconds by kind of call, the most first; the last is the time between operations."""
    groups: dict[tuple[str, str], list[tuple[Work, Range]]] = {}
    for call in _calls(program, RATES[chip]):
        part = part_of(call)
        groups.setdefault((call.name, part.source), []).append((call.work, part.seconds(call)))
    found = [_summed(program.name, *kind, calls) for kind, calls in groups.items()]
    launched = sum(each.device_operations for each in found)
    between = KernelTimes(
        program.name,
        "between operations",
        launched,
        0,
        0,
        0.0,
        launched * BETWEEN[0],
        launched * BETWEEN[1],
        "tt-metal qwen3_tts PERF_NOTES, llama3_subdevices",
    )
    return [*sorted(found, key=lambda each: -each.most_s), between]


def _summed(program: str, name: str, source: str, calls: Sequence[tuple[Work, Range]]) -> KernelTimes:
    """Calls of one kind, each with its seconds."""
    work = [each for each, _ in calls]
    return KernelTimes(
        program,
        name,
        sum(each.device_operations for each in work),
        sum(each.flops for each in work),
        sum(each.bytes_dram for each in work),
        sum(each.floor_s for each in work),
        *added(*(seconds for _, seconds in calls)),
        source,
    )


def part_of(call: Call) -> Part:
    """The first part that a call is of."""
    return next((part for part in PARTS if call.name in part.names and part.when(call)), _OTHERS)


def _calls(program: Program, rates: Rates) -> Iterator[Call]:
    specs: Mapping[str, Spec] = program.specs()
    for work in work_of(program, rates.chip):
        operands = tuple(spec for name in work.op.operands if isinstance(spec := specs[name], TensorSpec))
        # What writes in place has no result of its own.
        result = work.op.outputs[0].spec if work.op.outputs else operands[0]
        assert isinstance(result, TensorSpec)
        bias = specs.get(work.op.keyword("bias") or "")
        yield Call(work, rates, operands, result, bias if isinstance(bias, TensorSpec) else None)


def total(times: Sequence[KernelTimes], programs: Sequence[str]) -> Range:
    """Seconds of several programs, one after the other."""
    return added(*((each.least_s, each.most_s) for each in times if each.program in programs))


def first_token(times: Sequence[KernelTimes]) -> Range:
    """From samples in memory to the first token."""
    return added(total(times, FIRST_TOKEN), HOST)


def real_time_factor(times: Sequence[KernelTimes]) -> Range:
    """Seconds of work for a second of speech: windows one after another, each with as many tokens as speech has."""
    least, most = added(first_token(times), *[total(times, NEXT_TOKEN)] * (WINDOW_TOKENS - 1))
    return least / WINDOW_SECONDS, most / WINDOW_SECONDS
