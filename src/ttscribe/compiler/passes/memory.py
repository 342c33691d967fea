"""Where values live: activations in L1 while they fit, attention's chunk sizes, and when each value is freed."""

from __future__ import annotations

from dataclasses import replace

from ttscribe.compiler.editor import Rewriter, rewrite
from ttscribe.compiler.memory import memory_owners
from ttscribe.compiler.operations import FREES, MOVES_IN, MOVES_OUT, OPERATIONS
from ttscribe.compiler.program import (
    DRAM,
    L1,
    SHARDED_AS_MADE,
    TILE_SIZE,
    Config,
    Op,
    Program,
    TensorSpec,
)
from ttscribe.compiler.settings import CompileSettings

_CUTS_HEADS = "ttnn.experimental.nlp_create_qkv_heads"
_ATTENTION = "ttnn.transformer.scaled_dot_product_attention"
# A convolution's input and output together: its shards are its own, and nothing else is in L1 beside them.
_CONVOLUTION_LIMIT = 64 * 256 * 1024
_PLACED_IN_L1 = {
    *("ttnn.linear", "ttnn.layer_norm", "ttnn.gelu", "ttnn.add"),
    *(_ATTENTION, "ttnn.experimental.nlp_concat_heads"),
}
# What reads shards of any shape and grid; other calls want interleaved tensors, or shards of a shape that they name.
_TAKE_SHARDS = ("ttnn.conv1d", "ttnn.add")
_DECODE_ATTENTION = "ttnn.transformer.scaled_dot_product_attention_decode"


def place_in_memory(program: Program, settings: CompileSettings) -> Program:
    """What an encoder's or decoder's layer computes goes to L1 where it is small enough and nobody outside reads it.

    Not what is untiled, or only cut into heads that stay: those calls' own buffers grow with an operand in L1.
    """
    owners = memory_owners(program.body, program.specs())
    readers: dict[str, list[Op]] = {}
    for op in program.ops:
        for name in op.inputs:
            readers.setdefault(owners.get(name, name), []).append(op)
    kept = {owners.get(name, name) for name in program.outputs}
    kept |= {name for name, calls in readers.items() if _wants_dram(calls)}

    def fits_as_heads(rewriter: Rewriter, op: Op) -> bool:
        """Attention's buffers are smaller than a product's: all heads may take twice what a single result may."""
        whole = sum(rewriter.spec(value.name).bytes for value in op.outputs)
        return whole <= 2 * settings.board.results_in_l1 and kept.isdisjoint(op.results)

    def place(rewriter: Rewriter, op: Op) -> list[Op] | None:
        if not op.outputs:
            return None
        in_l1 = op.target in _PLACED_IN_L1 and op.output.name not in kept
        if in_l1 and rewriter.spec(op.output.name).bytes <= settings.board.results_in_l1:
            op = op.with_attributes(memory_config=L1)
        if op.target == _CUTS_HEADS:
            op = op.with_attributes(memory_config=L1 if fits_as_heads(rewriter, op) else DRAM)
        return [rewriter.reinferred(op)]

    return rewrite(program, dict.fromkeys(OPERATIONS.keys() - {MOVES_IN, MOVES_OUT}, place))


def _wants_dram(readers: list[Op]) -> bool:
    untiled = any(op.target == "ttnn.to_layout" for op in readers)
    return untiled or all(op.target == _CUTS_HEADS and not op.outputs for op in readers)


def convolve_in_l1(program: Program, _settings: CompileSettings) -> Program:
    """A convolution that fits is done in L1 as a whole, and one after another takes over its shards.

    Left to itself, TT-NN goes through DRAM: it makes shards of the input, moves what the halo gave and undoes the
    shards for every convolution.
    """
    return rewrite(program, {"ttnn.conv1d": _convolve, "ttnn.add": _add_shards})


def _convolve(rewriter: Rewriter, op: Op) -> list[Op] | None:
    name = op.output.name
    if rewriter.spec(op.operands[0]).bytes + rewriter.spec(name).bytes > _CONVOLUTION_LIMIT:
        return None
    config: Config = op.attribute("conv_config")
    # TT-NN would move the halo's result within L1, against fragmentation: where all fits, a launch for nothing. No
    # shard layout is asked for: HEIGHT_SHARDED, which suits the first convolution, does not fit the second (1280 to
    # 1280 channels, stride 2).
    fields = {**dict(config.fields), "reallocate_halo_output": False}
    op = op.with_attributes(
        conv_config=Config("Conv1dConfig", tuple(fields.items())),
        slice_config=Config("Conv2dL1FullSliceConfig", ()),
    )
    taken_over = all(reader.target in _TAKE_SHARDS for reader in rewriter.readers(name))
    if name in rewriter.program.outputs or not taken_over:
        op = op.with_attributes(memory_config=DRAM)
    return [rewriter.reinferred(op)]


def _add_shards(rewriter: Rewriter, add: Op) -> list[Op] | None:
    if not any(rewriter.spec(name).memory == SHARDED_AS_MADE for name in add.operands):
        return None
    return [rewriter.reinferred(add.with_attributes(memory_config=DRAM))]


def choose_attention_chunks(program: Program, _settings: CompileSettings) -> Program:
    """Chunk sizes of attention: 256 x 256 for long queries, one tile of queries for short ones, 64 keys to decode.

    256 x 256 takes 501,760 B of an n150 core's L1; decode's chunk must divide the cache and be a power of two.
    """

    def choose(rewriter: Rewriter, op: Op) -> list[Op]:
        queries, keys = (rewriter.spec(name).shape[-2] for name in op.operands[:2])
        if op.target == _DECODE_ATTENTION:
            chunks = 0, next(size for size in (64, TILE_SIZE) if keys % size == 0 or size == TILE_SIZE)
        else:
            chunks = _chunk(queries), _chunk(keys)
        fields = (
            # The last chunk of 1,500 keys is short: the kernel masks what is beyond, as long as the tensor's own shape
            # says 1,500. exp_approx_mode does not reach the softmax of the streaming kernel, which is approximate there
            # always (tt-metal issue 56710).
            *(("q_chunk_size", chunks[0]), ("k_chunk_size", chunks[1]), ("exp_approx_mode", False)),
            # Whether sums of chunks are kept apart, and how many cores share one head's keys.
            *(("segmented_accumulation", False), ("max_k_splits", 1), ("max_cores_per_head_batch", 16)),
        )
        return [op.with_attributes(program_config=Config("SDPAProgramConfig", fields))]

    return rewrite(program, dict.fromkeys((_ATTENTION, _DECODE_ATTENTION), choose))


def _chunk(length: int) -> int:
    """Whole tiles, 256 rows at most."""
    return min(256, TILE_SIZE * -(-length // TILE_SIZE))


def free_after_last_use(program: Program, _settings: CompileSettings) -> Program:
    """Deallocate each intermediate tensor after the last step that reads it or a view of it."""
    specs = program.specs()
    owners = memory_owners(program.body, specs)
    last: dict[str, int] = {}
    for index, step in enumerate(program.body):
        for name in (*step.inputs, *step.results):
            last[owners.get(name, name)] = index
    kept = {owners.get(name, name) for name in (*program.outputs, *(name for _, name in program.mutations))}
    # A trace finds inputs and constants at the addresses that were recorded.
    kept |= {value.name for value in program.inputs} | {constant.value.name for constant in program.constants}
    dying: dict[int, list[Op]] = {}
    for name, index in last.items():
        if isinstance(specs[name], TensorSpec) and name not in kept:
            dying.setdefault(index, []).append(Op(FREES, (name,), ()))
    body = [item for index, step in enumerate(program.body) for item in (step, *dying.get(index, []))]
    return replace(program, body=tuple(body))
