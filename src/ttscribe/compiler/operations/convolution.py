"""Convolution over one dimension, which TT-NN makes a matrix product of."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch.nn.functional as F
from torch import Tensor

from ttscribe.compiler.operations import kernels
from ttscribe.compiler.operations.emulation import Call
from ttscribe.compiler.operations.matmul import ACTIVATIONS, multiplied
from ttscribe.compiler.operations.operation import (
    BEST_FIDELITY,
    Family,
    Kernel,
    Operation,
    Specs,
    keyword_spec,
    require,
    require_float,
    require_rank,
    result,
)
from ttscribe.compiler.operations.rounding import rounded
from ttscribe.compiler.program import DRAM, SHARDED_AS_MADE, Config, DType, Layout, Op, TensorSpec


def _conv1d(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x, weight = specs[0], specs[1]
    batch, length = op.attribute("batch_size"), op.attribute("input_length")
    channels, out_channels = op.attribute("in_channels"), op.attribute("out_channels")
    require_rank(op, weight, 3)
    require_float(op, x, weight)
    wanted = (out_channels, channels // op.attribute("groups", 1), op.attribute("kernel_size"))
    require(weight.shape == wanted, f"{op.target} takes a weight of shape {wanted}, not {weight.shape}")
    require(
        x.shape[-1] == channels and prod(x.shape) == batch * length * channels,
        f"{op.target} takes {batch} x {length} x {channels} elements, channels last, not {x.shape}",
    )
    bias = keyword_spec(op, specs, "bias_tensor")
    require(bias is None or prod(bias.shape) == out_channels, f"{op.target} takes a bias of {out_channels} elements")
    # Left alone, TT-NN cuts convolutions into slices that go through DRAM; told that all fits in L1, it leaves its
    # result there in shards of its own choice.
    memory = DRAM if op.attribute("slice_config") is None else SHARDED_AS_MADE
    # It computes a two-dimensional convolution of height one, and gives the rows of all signals one after another.
    shape = (1, 1, batch * _output_length(op), out_channels)
    return (result(op, replace(x, layout=Layout.TILE, memory=memory), shape),)


def _output_length(op: Op) -> int:
    """How many positions the convolution gives for one signal."""
    padding = op.attribute("padding", 0)
    padded = op.attribute("input_length") + (sum(padding) if isinstance(padding, tuple) else 2 * padding)
    reach = op.attribute("dilation", 1) * (op.attribute("kernel_size") - 1) + 1
    return int((padded - reach) // op.attribute("stride", 1) + 1)


def _terms(_op: Op, inputs: Specs, _outputs: Specs) -> int:
    return prod(inputs[1].shape[1:])


def _device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    """To shards, halo, move, convolution, from shards. In L1 there need be no shards to make and no move."""
    to_shards = inputs[0].memory.sharding is None
    from_shards = outputs[0].memory.sharding is None
    stays = _config(op).get("reallocate_halo_output") is False
    moves = op.attribute("slice_config") is None or not stays
    return 2 + to_shards + from_shards + moves


def _config(op: Op) -> dict[str, object]:
    config: Config | None = op.attribute("conv_config")
    return {} if config is None else dict(config.fields)


def _emulate(call: Call) -> Tensor:
    x, weight = call.data
    batch, length = call.attribute("batch_size"), call.attribute("input_length")
    signals = x.reshape(batch, length, -1).mT
    padding = call.attribute("padding", 0)
    if isinstance(padding, tuple):
        signals, padding = F.pad(signals, padding), 0

    def convolve(first: Tensor, second: Tensor) -> Tensor:
        stride, dilation = call.attribute("stride", 1), call.attribute("dilation", 1)
        return F.conv1d(first, second, None, stride, padding, dilation, call.attribute("groups", 1))

    config = _config(call.op)
    weight = _prepared(call, weight, config.get("weights_dtype"))
    if call.as_kernels:
        padded = F.pad(signals, (padding, padding))
        made = kernels.convolution(call, padded, weight, call.keyword("bias_tensor"), _output_length(call.op))
        return made.reshape(1, 1, batch * _output_length(call.op), -1)
    product = multiplied(convolve, signals, weight, call.fidelity("HiFi4", "compute_config"))
    bias = call.keyword("bias_tensor")
    if bias is not None:
        product += bias.reshape(-1, 1)
    activation = config.get("activation")
    if isinstance(activation, Config):
        product = ACTIVATIONS[str(activation["op"]).lower()](product)
    return product.mT.reshape(1, 1, batch * _output_length(call.op), -1)


def _prepared(call: Call, weight: Tensor, dtype: object) -> Tensor:
    """The weight as the convolution stores it: a matrix of [kernel x input, output] channels.

    So the blocks of a format that shares exponents run along the output channels, not along the kernel.
    """
    if call.exact or not isinstance(dtype, DType):
        return weight
    return rounded(weight.permute(2, 1, 0).contiguous(), dtype).permute(2, 1, 0)


CONVOLUTION = (
    Operation(
        "ttnn.conv1d",
        Family.CONVOLUTION,
        _conv1d,
        (2, 2),
        keywords=("bias_tensor",),
        attributes=(
            *("in_channels", "out_channels", "batch_size", "input_length", "kernel_size", "stride", "padding"),
            *("dilation", "groups", "conv_config", "compute_config", "slice_config", "dtype", "memory_config"),
        ),
        operand_names=("input_tensor", "weight_tensor"),
        named_from=0,
        # Weight and bias: TT-NN turns them into a matrix on the host at the first call, and gives that back.
        host_operands=1,
        terms=_terms,
        device_operations=_device_operations,
        # Under every policy: both convolutions together are 0.8 % of the FLOPs of large-v3's encoder.
        kernel=Kernel("compute_config", fidelity=BEST_FIDELITY),
        emulate=_emulate,
    ),
)
