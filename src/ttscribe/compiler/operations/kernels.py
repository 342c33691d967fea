"""Operations as TT-NN's kernels compute them on a Wormhole card: every sum and product where and as a kernel rounds it.

Held against recorded calls of real kernels (``tests/simulated``); an operation that is not here is emulated as its
record does it: in float32, and rounded to what it is stored as. The switches are the call's own attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TypeAlias

import torch
from torch import Tensor

from ttscribe.compiler.operations.attention_kernels import attend, attend_in_a_step
from ttscribe.compiler.operations.convolution_kernels import channels_of_a_core, convolved
from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.engine import Arithmetic, away, product, sums
from ttscribe.compiler.operations.operation import fused_activation
from ttscribe.compiler.operations.vector_unit import (
    activation,
    exponential,
    fast_exponential,
    gelu,
    gelu_table,
    sigmoid,
    silu,
)
from ttscribe.compiler.program import TILE_SIZE, Config, DType, Layout, Op
from ttscribe.errors import EmulationError

# What the grid of an n150 has.
_CORES = 64
_BLOCK_ON_A_GRID, _BLOCK_ELSEWHERE = 4, 2
# Beyond this ratio of height to width, or with a side of one tile, TT-NN spreads a product over one dimension only.
_NARROW = 8
_APPROXIMATE = "fast_and_approximate_mode"
_Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor, "Tensor | None", float, Arithmetic, int], Tensor]

# What kernels of bfloat16 operands compute, accurately and, where that can be asked for, fast.
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor] | None]] = {
    "ttnn.exp": (exponential, fast_exponential),
    "ttnn.gelu": (gelu, gelu_table),
    "ttnn.sigmoid": (sigmoid, None),
    "ttnn.silu": (silu, None),
}
SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ttnn.add": sums,
    "ttnn.subtract": lambda first, second: sums(first, -second),
    "ttnn.rsub": lambda first, second: sums(second, -first),
}
_ACCURATE_SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ttnn.add": torch.add,
    "ttnn.subtract": torch.sub,
    "ttnn.rsub": lambda first, second: second - first,
}


def function(call: Call) -> Tensor:
    """A function of one number."""
    accurate, fast = FUNCTIONS[call.op.target]
    if not call.attribute(_APPROXIMATE, False):
        return accurate(*call.data)
    if fast is None:
        raise EmulationError(f"the approximate {call.op.target} is not emulated")
    return fast(*call.data)


def combination(call: Call, first: Tensor, second: Tensor) -> Tensor:
    """Sums go through the matrix engine; the accurate way, where it is asked for, through the vector unit."""
    table = SUMS if call.attribute(_APPROXIMATE, True) else _ACCURATE_SUMS
    return table[call.op.target](first, second)


def reduction(call: Call, x: Tensor, dim: int, *, mean: bool) -> Tensor:
    """Sums of rows or columns, as products with ones, in 32 bits also where a call does not say; ``dim`` is kept."""
    how = Arithmetic(Arithmetic.of(call, "HiFi4").passes, wide=True)
    if dim == x.dim() - 1:
        total = product(x, torch.ones(x.shape[-1], 1), how)
    else:
        total = product(torch.ones(*x.shape[:-2], 1, x.shape[-2]), x, how)
    return away(total / x.shape[dim] if mean else total)


def products(call: Call) -> Tensor:
    """TT-NN multiplies in HiFi2 when nothing is said, but in LoFi when it is given a grid."""
    first, second = call.data
    if call.attribute("transpose_a", False):
        first = first.mT
    if call.attribute("transpose_b", False):
        second = second.mT
    bias, asked = call.keyword("bias"), call.attribute("activation")
    bias = None if bias is None else bias.flatten()
    placed = call.attribute("core_grid") is not None or call.attribute("program_config") is not None
    # A finished program relies on neither default: passes say the fidelity of every product.
    how = Arithmetic.of(call, "LoFi" if placed else "HiFi2")
    block = inner_block(call.op, first.shape, second.shape)
    made = product(first, second, how, block, ends_in_l1=bias is not None)
    if bias is not None:
        made = made + bias if how.wide else sums(made, bias)
    asked = asked or fused_activation(call.op)
    if asked is None:
        return _packed(call, made)
    # Without a grid the activation is an operation of its own, on what the product has stored.
    return activation(asked)(made if placed else _packed(call, made))


def _packed(call: Call, made: Tensor) -> Tensor:
    return made if call.attribute("dtype", call.operands[0].spec.dtype) is DType.FLOAT32 else away(made)


def inner_block(op: Op, first: Sequence[int], second: Sequence[int], cores: int = _CORES) -> int:
    """How many tiles of the inner dimension TT-NN multiplies at a time: the blocks that are added up in L1.

    ``first`` and ``second`` are the shapes that are multiplied, on a grid of so many ``cores``.
    """
    config: Config | None = op.attribute("program_config")
    if config is not None and "in0_block_w" in dict(config.fields):
        return int(config["in0_block_w"])  # type: ignore[arg-type]
    tiles = -(-first[-1] // TILE_SIZE)
    block = _BLOCK_ELSEWHERE
    if op.attribute("core_grid") is not None:
        height, width = prod(first[:-1]), second[-1]
        narrow = max(height, width) // min(height, width) > _NARROW
        in_one_tile = min(first[-2], first[-1], width) <= TILE_SIZE
        block = -(-tiles // cores) if narrow or in_one_tile else _BLOCK_ON_A_GRID
    return next(size for size in range(block, 0, -1) if tiles % size == 0)


def convolution(call: Call, signals: Tensor, weight: Tensor, bias: Tensor | None, length: int) -> Tensor:
    """Padded signals [B, channels, L] and weight [outputs, channels, taps] to [B, length, outputs], and activation."""
    how, groups = Arithmetic.of(call, "HiFi4", "compute_config"), call.attribute("groups", 1)
    # Groups are one product, of weights that are zero where they do not belong.
    filters = weight.permute(2, 1, 0)  # [taps, channels of a group, outputs]
    matrix = torch.stack([torch.block_diag(*tap.chunk(groups, 1)) for tap in filters])  # type: ignore[no-untyped-call]
    positions = torch.arange(length)[:, None] * call.attribute("stride", 1)
    positions = positions + torch.arange(len(filters)) * call.attribute("dilation", 1)
    taps = signals[:, :, positions].permute(0, 2, 3, 1)
    tiled = call.operands[0].spec.layout is Layout.TILE
    width = channels_of_a_core(signals.shape[1], matrix.shape[2], len(matrix), len(signals) * length, tiled=tiled)
    made = convolved(taps, matrix, how, width, ends_in_l1=bias is not None)
    if bias is not None:
        made = made + bias.flatten() if how.wide else sums(made, bias.flatten())
    config: Config | None = call.attribute("conv_config")
    asked = None if config is None else dict(config.fields).get("activation")
    # Without a parameter a convolution's GELU is approximate, where a product's is exact.
    return activation(asked, default_parameter=1.0)(away(made)) if isinstance(asked, Config) else away(made)


def attention(
    call: Call, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, *, one_query: bool
) -> Tensor:
    """Attention of [B, H, T, E] queries; TT-NN's own default is HiFi2, as for a product."""
    how, config = Arithmetic.of(call, "HiFi2"), call.attribute("program_config")
    kernel: _Attend = attend_in_a_step if one_query else attend
    if how.wide:
        kernel = _attend_in_32_bits
    return kernel(q, k, v, mask, scale, how, chunk_of(config))


def chunk_of(config: Config | None) -> int:
    """How many keys are attended to at a time."""
    return TILE_SIZE if config is None else int(config["k_chunk_size"]) or TILE_SIZE  # type: ignore[arg-type]


def _attend_in_32_bits(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, how: Arithmetic, _chunk: int
) -> Tensor:
    """With destinations of 32 bits chunks are not modelled: recorded results correlate by 0.99998 with this."""
    scores = product(q, k.mT, how).mul_(scale)
    if mask is not None:
        scores += mask
    return product(scores.softmax(-1).bfloat16().float(), v, how)
