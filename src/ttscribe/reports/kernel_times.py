"""What the kernels of an n150 would take, added up from what others measured of like operations on Wormhole.

No value here is fitted to Whisper, and each has its source. ``PARTS`` says for a kind of call how many seconds it takes
at least and at most; ``kernel_times`` adds them up over a program as it was compiled, with the time between operations
that are replayed from a trace. All of it is *projected*. What is marked "assumed" nobody has published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from statistics import harmonic_mean

from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.operations.operation import fused_activation
from ttscribe.compiler.program import TILE_SIZE, Config, Op, Program, Spec, TensorSpec
from ttscribe.reports.constants import N150, Chip, Software
from ttscribe.reports.projection import FIRST_TOKEN, NEXT_TOKEN, OperationTime, operation_times
from ttscribe.reports.schema import KernelTimes

CORES, BANKS = int(N150.cores.value), BOARDS["n150"].dram_banks
_MICRO, _GIGA, _TERA = 1e-6, 1e9, 1e12
# A vocabulary's width, of which one row of tiles takes longer than what little there is to do in other calls of a step.
_WIDE = 10_000


@dataclass(frozen=True, slots=True)
class Call:
    """One TT-NN call: its cost as ``operation_times`` has it, its operands, first result, and bias where it has one."""

    cost: OperationTime
    operands: tuple[TensorSpec, ...]
    result: TensorSpec
    bias: TensorSpec | None = None

    @property
    def op(self) -> Op:
        return self.cost.op

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


Seconds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """Seconds, at least and at most, of calls of these ``names`` for which ``when`` holds, and where that is from."""

    names: tuple[str, ...]
    seconds: Callable[[Call], Seconds]
    source: str
    when: Callable[[Call], bool] = lambda _call: True


def sharded_weights(size: float) -> Seconds:
    """A product of one row of tiles with so many bytes of weights in the shards of the DRAM banks."""
    return size / 238 / _GIGA + 5.4 * _MICRO, size / 200 / _GIGA + 8 * _MICRO


# Of a tile, by a core: tt-metal issue 52407 and pull request 27283. Nothing else that a product does is as slow.
_GELU = 2.3 * _MICRO, 2.85 * _MICRO


def _and_gelu(product: Callable[[Call], Seconds], cores: int = CORES) -> Callable[[Call], Seconds]:
    """A product, and GELU of its result where it has one, which so many cores take."""

    def seconds(call: Call) -> Seconds:
        low, high = product(call)
        tiles = call.gelu_tiles(cores)
        return low + _GELU[0] * tiles, high + _GELU[1] * tiles

    return seconds


def _each(low: float, high: float) -> Callable[[Call], Seconds]:
    """So many microseconds a device operation."""
    return lambda call: (
        low * _MICRO * call.cost.device_operations,
        high * _MICRO * call.cost.device_operations,
    )


def _moved(slow: float, fast: float) -> Callable[[Call], Seconds]:
    """Its bytes in DRAM at so many GB/s."""
    return lambda call: (call.cost.bytes_dram / fast / _GIGA, call.cost.bytes_dram / slow / _GIGA)


def _within_l1(call: Call) -> Seconds:
    """At least what a sum of shards takes, 4 us for 30 tiles of a core (assumed); at most what DRAM would take."""
    tiles = ceil(call.tile_rows * call.columns / CORES)
    size = sum(spec.bytes for spec in (*call.operands, call.result))
    return 4 / 30 * tiles * _MICRO, size / 180 / _GIGA


def _row_of_weights(slow: float, fast: float) -> Callable[[Call], Seconds]:
    """Weights at so many GB/s, but no block of them in less than 0.6 us; with up to 5 us around."""

    def seconds(call: Call) -> Seconds:
        tiles = call.operands[1].shape[-2] // TILE_SIZE
        # core_grid takes blocks of one tile where the sum is 40 long, of two where it is longer.
        chain = 0.6 * _MICRO * (tiles if tiles <= 40 else tiles / 2)
        low, high = (call.weight_bytes / rate / _GIGA for rate in (fast, slow))
        return max(low, chain), max(high, chain) + 5 * _MICRO

    return _and_gelu(seconds)


# TFLOP/s of large products with weights in DRAM; of HiFi3 nothing is published: the mean of the two times beside it.
_RATES = {
    "HiFi4": (47.5, 51.0),
    "HiFi3": (harmonic_mean((47.5, 65.3)), harmonic_mean((51.0, 72.0))),
    "HiFi2": (65.3, 72.0),
}
_CYCLES = {"HiFi2": 34.5, "HiFi3": 51.0, "HiFi4": 67.5}


def _fidelity(call: Call) -> str:
    config = call.op.attribute("compute_kernel_config")
    return str(config["math_fidelity"])


def _large_product(call: Call) -> Seconds:
    slow, fast = _RATES[_fidelity(call)]
    return call.cost.flops / fast / _TERA, call.cost.flops / slow / _TERA / 0.85


def _large_attention(call: Call) -> Seconds:
    """The busiest core's products of tiles, in chunks of 256 queries; its matrix engine is busy 60 to 80 % of it."""
    heads, queries = call.result.shape[1], ceil(call.result.shape[-2] / TILE_SIZE)
    units = heads * ceil(queries / 8)
    share = ceil(units / CORES) / (units / CORES)
    cycles = call.cost.flops / (2 * TILE_SIZE**3) / CORES * share * _CYCLES[_fidelity(call)]
    return cycles / N150.clock.value / 0.8, cycles / N150.clock.value / 0.6


def _norm(low: float, high: float) -> Callable[[Call], Seconds]:
    """So many microseconds a tile; a core has a row of tiles, or several."""

    def seconds(call: Call) -> Seconds:
        tiles = call.columns * ceil(call.tile_rows / CORES)
        return low * _MICRO * tiles, high * _MICRO * tiles

    return seconds


def _wide_elements(call: Call) -> Seconds:
    """Tiles spread over all cores, 0.4 to 1.5 us each, and never less than a small operation's 2 to 4 us."""
    tiles = ceil(call.tile_rows * call.columns / CORES)
    return max(2.0, 0.4 * tiles) * _MICRO, max(4.0, 1.5 * tiles) * _MICRO


_ELEMENTS = ("add", "subtract", "divide", "exp", "where", "reciprocal")
PARTS: Sequence[Part] = (
    Part(
        ("linear",),
        # There is a core for each bank.
        _and_gelu(lambda call: sharded_weights(call.weight_bytes), BANKS),
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
        _row_of_weights(150, 185),
        "tt-metal pull requests 13340 (160 GB/s), 21252",
        lambda call: call.is_row() and call.is_wide(),
    ),
    Part(
        ("linear",),
        _row_of_weights(130, 170),
        "tt-metal pull requests 42593 (a multicast product beside a DRAM-sharded one; 0.6 us a block), 13340",
        Call.is_row,
    ),
    Part(
        ("linear",),
        _and_gelu(_large_product),
        "tt-metal tech_reports/GEMM_FLOPS; GELU: issue 52407, pull request 27283",
    ),
    Part(("conv1d",), _each(80, 200), "assumed: 18 GFLOP and ten operations in 0.8 to 1.5 ms"),
    Part(("layer_norm",), _norm(0.38, 1.2), "tt-metal qwen3_tts PERF_NOTES (0.38 us a tile), tt-mlir issue 7717 (1.2)"),
    Part(("max", "sum"), _norm(0.38, 1.2), "as a norm's tiles: a core for each row of tiles"),
    Part(
        ("scaled_dot_product_attention",),
        _moved(110, 240),
        "tt-metal qwen3_tts PERF_NOTES (26.8 us for 352 keys)",
        lambda call: call.result.shape[-2] <= TILE_SIZE,
    ),
    Part(
        ("scaled_dot_product_attention",),
        _large_attention,
        "tt-metal issues 55760 (cycles a product of tiles), 55758 (60 to 81 % busy)",
    ),
    Part(("scaled_dot_product_attention_decode",), _each(10, 20), "tt-metal llama3_subdevices, pull request 20131"),
    Part(("nlp_create_qkv_heads_decode",), _each(8, 13.3), "tt-metal llama3_subdevices (8.2), qwen3_tts (13.3)"),
    Part(("nlp_create_qkv_heads",), _each(8, 12), "tt-metal qwen3_tts (31 us for 128 tiles on one core)", Call.is_row),
    Part(("nlp_create_qkv_heads",), _moved(140, 190), "assumed: what it reads from DRAM or writes there"),
    Part(
        ("nlp_concat_heads",),
        _each(6, 12),
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
        Call.is_row,
    ),
    Part(_ELEMENTS, _moved(180, 220), "its bytes in DRAM"),
    Part(("argmax",), _each(30, 50), "tt-metal pull request 43255 (25 ns a value of a core)", Call.is_wide),
    Part(
        ("argmax",),
        _each(5, 12),
        "the same, of fewer values",
    ),
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
BETWEEN: Seconds = (0.7 * _MICRO, 1.0 * _MICRO)
"""From one replayed operation to the next."""

HOST: Seconds = (5e-3, 15e-3)
"""Before the first token: log-mel features of 30 s, *measured* on a thread of two CPUs, 6.1 ms for 80 bins and 11.5 to
13.8 for 128; what crosses to the card, 1 MB of them, is nothing beside that."""

KNOWN = (N150,)
"""Chips that the parts are of. Of a p150 nothing like them is published."""


def added_up(programs: Mapping[str, Program], chip: Chip) -> tuple[KernelTimes, ...]:
    """The programs that count for Whisper's figures, by kind of call; of other programs, and other chips, nothing."""
    counted = (*FIRST_TOKEN, *NEXT_TOKEN)
    if chip not in KNOWN or not {*counted} <= {*programs}:
        return ()
    return tuple(each for name in counted for each in kernel_times(programs[name]))


def kernel_times(program: Program) -> list[KernelTimes]:
    """A program's seconds by kind of call, the most first; the last is the time between operations."""
    found: dict[tuple[str, str], KernelTimes] = {}
    launched = 0
    for call in _calls(program):
        part = part_of(call)
        low, high = part.seconds(call)
        key = (call.name, part.source)
        before = found.get(key, KernelTimes(program.name, call.name, 0, 0.0, 0.0, part.source))
        operations = before.device_operations + call.cost.device_operations
        found[key] = KernelTimes(
            program.name, call.name, operations, before.least_s + low, before.most_s + high, part.source
        )
        launched += call.cost.device_operations
    between = KernelTimes(
        program.name,
        "between operations",
        launched,
        launched * BETWEEN[0],
        launched * BETWEEN[1],
        "tt-metal qwen3_tts PERF_NOTES, llama3_subdevices",
    )
    return [*sorted(found.values(), key=lambda each: -each.most_s), between]


def part_of(call: Call) -> Part:
    """The first part that a call is of."""
    return next((part for part in PARTS if call.name in part.names and part.when(call)), _OTHERS)


def _calls(program: Program) -> Iterator[Call]:
    specs: Mapping[str, Spec] = program.specs()
    for cost in operation_times(program, N150, Software()):
        operands = tuple(spec for name in cost.op.operands if isinstance(spec := specs[name], TensorSpec))
        # What writes in place has no result of its own.
        result = cost.op.outputs[0].spec if cost.op.outputs else operands[0]
        assert isinstance(result, TensorSpec)
        bias = specs.get(cost.op.keyword("bias") or "")
        yield Call(cost, operands, result, bias if isinstance(bias, TensorSpec) else None)


def total(times: Sequence[KernelTimes], programs: Sequence[str]) -> Seconds:
    """Seconds of several programs, one after the other."""
    parts = [each for each in times if each.program in programs]
    return sum(part.least_s for part in parts), sum(part.most_s for part in parts)


def first_token(times: Sequence[KernelTimes]) -> Seconds:
    """From samples in memory to the first token."""
    low, high = total(times, FIRST_TOKEN)
    return low + HOST[0], high + HOST[1]
