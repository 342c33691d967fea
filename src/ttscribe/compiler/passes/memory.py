"""Where values live: activations in L1 while they fit, attention's program sizes, and when each value is freed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ttscribe.compiler.passes.rewrite import Editor, consumers
from ttscribe.compiler.program import (
    DRAM,
    L1,
    SHARDED_AS_MADE,
    TILE_SIZE,
    Config,
    Memory,
    Op,
    Program,
    Step,
    TensorSpec,
)
from ttscribe.compiler.sharing import memory_owners

# An n150 core offers 1,393,312 B of L1, of which a product's own buffers take up to half: 256 KiB a core for one
# interleaved tensor over 64 cores leaves room for two of them and the buffers.
L1_LIMIT = 64 * 256 * 1024
_PLACED_IN_L1 = {"ttnn.linear", "ttnn.layer_norm", "ttnn.gelu"}
_TAKE_SHARDS = ("ttnn.conv1d", "ttnn.add")
_CUTS_HEADS = "ttnn.experimental.nlp_create_qkv_heads"
_ATTENTION = "ttnn.transformer.scaled_dot_product_attention"
_DECODE_ATTENTION = "ttnn.transformer.scaled_dot_product_attention_decode"


def place_in_memory(program: Program) -> Program:
    """Results of products and norms go to L1 where they are small enough and nobody outside reads them.

    Not what is only cut into heads that stay, or untiled: those calls' own buffers grow with an operand in L1.
    """
    editor, readers = Editor(program), consumers(program)
    owners = memory_owners(program.body, editor.specs)
    kept = {owners.get(name, name) for name in program.outputs}
    kept |= {name for name, found in readers.items() if all(map(_reads_from_dram, found))}
    return editor.finish(
        _placed(editor, step, kept) if isinstance(step, Op) and step.outputs else step for step in program.body
    )


def _placed(editor: Editor, op: Op, kept: set[str]) -> Op:
    if op.target in ("ttnn.from_torch", "ttnn.to_torch"):
        return op
    if op.target in _PLACED_IN_L1 and op.output.name not in kept and editor.spec(op.output.name).bytes <= L1_LIMIT:
        op = op.with_attributes(memory_config=L1)
    if op.target == _CUTS_HEADS:
        op = op.with_attributes(memory_config=DRAM)
    return editor.reinfer(op)


def convolve_in_l1(program: Program) -> Program:
    """A convolution that fits is done in L1 as a whole, and one after another takes over its shards.

    Left to itself, TT-NN goes through DRAM: it makes shards of the input, moves what the halo gave and undoes the
    shards for every convolution.
    """
    readers, editor = consumers(program), Editor(program)
    body: list[Step] = []
    for step in program.body:
        if isinstance(step, Op) and _fits_l1(editor, step):
            shards = _taken_over(step.output.name, readers, program)
            body.append(_in_l1(editor, step, memory=None if shards else DRAM))
        elif isinstance(step, Op) and step.target == "ttnn.add" and _adds_shards(editor, step):
            body.append(editor.reinfer(step.with_attributes(memory_config=DRAM)))
        else:
            body.append(step)
    return editor.finish(body)


def _fits_l1(editor: Editor, op: Op) -> bool:
    if op.target != "ttnn.conv1d":
        return False
    return editor.spec(op.operands[0]).bytes + editor.spec(op.output.name).bytes <= L1_LIMIT


def _taken_over(name: str, readers: Mapping[str, list[Op]], program: Program) -> bool:
    """Whether all that reads a value takes it in shards."""
    return name not in program.outputs and all(op.target in _TAKE_SHARDS for op in readers.get(name, []))


def _adds_shards(editor: Editor, op: Op) -> bool:
    return any(editor.spec(name).memory == SHARDED_AS_MADE for name in op.operands)


def _in_l1(editor: Editor, op: Op, *, memory: Memory | None) -> Op:
    config: Config = op.attribute("conv_config")
    fields = {**dict(config.fields), "reallocate_halo_output": False}
    op = op.with_attributes(
        conv_config=Config("Conv1dConfig", tuple(fields.items())),
        slice_config=Config("Conv2dL1FullSliceConfig", ()),
    )
    return editor.reinfer(op if memory is None else op.with_attributes(memory_config=memory))


def _reads_from_dram(op: Op) -> bool:
    return op.target == "ttnn.to_layout" or (op.target == _CUTS_HEADS and not op.outputs)


def size_attention(program: Program) -> Program:
    """Chunk sizes of attention: 256 x 256 for long queries, one tile of queries for short ones, 64 keys to decode.

    256 x 256 takes 501,760 B of an n150 core's L1; decode's chunk must divide the cache and be a power of two.
    """
    editor = Editor(program)
    body: list[Step] = []
    for step in program.body:
        if isinstance(step, Op) and step.target in (_ATTENTION, _DECODE_ATTENTION):
            body.append(step.with_attributes(program_config=_chunks(editor, step)))
        else:
            body.append(step)
    return editor.finish(body)


def _chunks(editor: Editor, op: Op) -> Config:
    queries, keys = editor.spec(op.operands[0]).shape[-2], editor.spec(op.operands[1]).shape[-2]
    if op.target == _DECODE_ATTENTION:
        query_chunk, key_chunk = 0, next(size for size in (64, TILE_SIZE) if keys % size == 0 or size == TILE_SIZE)
    else:
        query_chunk = 256 if queries > 256 else TILE_SIZE * -(-queries // TILE_SIZE)
        key_chunk = 256 if keys > 256 else TILE_SIZE * -(-keys // TILE_SIZE)
    fields = (("q_chunk_size", query_chunk), ("k_chunk_size", key_chunk), ("exp_approx_mode", False))
    return Config("SDPAProgramConfig", fields)


def free_after_last_use(program: Program) -> Program:
    """Deallocate each intermediate tensor after the last call that reads it or a view of it."""
    specs = {name: value.spec for name, value in program.values().items()}
    owners = memory_owners(program.body, specs)
    last: dict[str, int] = {}
    for index, step in enumerate(program.body):
        made = [value.name for value in step.outputs] if isinstance(step, Op) else []
        for name in (*(step.inputs() if isinstance(step, Op) else step.inputs), *made):
            last[owners.get(name, name)] = index
    kept = {owners.get(name, name) for name in (*program.outputs, *(name for _, name in program.mutations))}
    kept |= {value.name for value in program.inputs} | {constant.value.name for constant in program.constants}
    dying: dict[int, list[Op]] = {}
    for name, index in last.items():
        if isinstance(specs[name], TensorSpec) and name not in kept:
            dying.setdefault(index, []).append(Op("ttnn.deallocate", (name,), ()))
    body = [item for index, step in enumerate(program.body) for item in (step, *dying.get(index, []))]
    return replace(program, body=tuple(body))
