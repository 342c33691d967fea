"""Matrix products, and the convolution that TT-NN makes one of."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ttscribe.compiler.operations.operation import (
    Operation,
    Specs,
    elements,
    keyword_spec,
    require,
    require_float,
    require_rank,
    require_tile,
    result,
)
from ttscribe.compiler.program import DRAM, SHARDED_AS_MADE, Config, Layout, Op, TensorSpec

ACTIVATIONS = (None, "gelu", "relu", "silu")
_PRODUCT = ("transpose_a", "transpose_b", "activation", "core_grid", "program_config", "compute_kernel_config")
_PLACED = ("dtype", "memory_config")


def _transposed(shape: Sequence[int], transpose: bool) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2]) if transpose else tuple(shape)


def _leading(op: Op, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """Leading dimensions of a product: only all-one leading dimensions broadcast."""
    if prod(right) == 1:
        return (1,) * (len(right) - len(left)) + left
    same = len(left) == len(right) and (left == right or prod(left) == 1)
    require(same, f"{op.target} does not broadcast the leading dimensions {left} and {right}")
    return right


def _product(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x, weight = specs[0], specs[1]
    require_tile(op, x, weight)
    require_float(op, x, weight)
    require(min(len(x.shape), len(weight.shape)) >= 2, f"{op.target} takes tensors of at least two dimensions")
    left = _transposed(x.shape, op.attribute("transpose_a", False))
    right = _transposed(weight.shape, op.attribute("transpose_b", False))
    require(left[-1] == right[-2], f"{op.target} cannot multiply {left} by {right}: inner dimensions differ")
    require(op.attribute("activation") in ACTIVATIONS, f"{op.target} has no activation {op.attribute('activation')!r}")
    shape = (*_leading(op, left[:-2], right[:-2]), left[-2], right[-1])
    return (result(op, x, shape, memory=DRAM),)


def _linear(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    (output,) = _product(op, specs)
    bias = keyword_spec(op, specs, "bias")
    if bias is not None:
        require_tile(op, bias)
        row = bias.shape[-1] == output.shape[-1] and prod(bias.shape) == output.shape[-1]
        require(row, f"{op.target} takes a bias of one row of {output.shape[-1]}, not {bias.shape}")
    return (output,)


def _product_flops(op: Op, inputs: Specs, outputs: Specs) -> int:
    inner: int = inputs[0].shape[-2 if op.attribute("transpose_a", False) else -1]
    return 2 * elements(outputs[0]) * inner


def _product_device_operations(op: Op, inputs: Specs, _outputs: Specs) -> int:
    """A grid or a program configuration lets the product apply its activation; one of matrices leaves out the bias."""
    fused = op.attribute("core_grid") is not None or op.attribute("program_config") is not None
    batched = prod(inputs[1].shape[:-2]) > 1
    return 1 + (op.attribute("activation") is not None and not fused) + (op.keyword("bias") is not None and batched)


def _conv1d(op: Op, specs: Specs) -> tuple[TensorSpec, ...]:
    x, weight = specs[0], specs[1]
    batch, length = op.attribute("batch_size"), op.attribute("input_length")
    channels, out_channels = op.attribute("in_channels"), op.attribute("out_channels")
    kernel, groups = op.attribute("kernel_size"), op.attribute("groups", 1)
    require_rank(op, weight, 3)
    require_float(op, x, weight)
    wanted = (out_channels, channels // groups, kernel)
    require(weight.shape == wanted, f"{op.target} takes a weight of shape {wanted}, not {weight.shape}")
    require(
        x.shape[-1] == channels and prod(x.shape) == batch * length * channels,
        f"{op.target} takes {batch} x {length} x {channels} elements, channels last, not {x.shape}",
    )
    bias = keyword_spec(op, specs, "bias_tensor")
    require(bias is None or prod(bias.shape) == out_channels, f"{op.target} takes a bias of {out_channels} elements")
    rows = batch * conv1d_length(op)
    memory = DRAM if op.attribute("slice_config") is None else SHARDED_AS_MADE
    return (result(op, replace(x, layout=Layout.TILE, memory=memory), (1, 1, rows, out_channels)),)


def conv1d_length(op: Op) -> int:
    """How many positions the convolution gives for one signal."""
    padding = op.attribute("padding", 0)
    padded = op.attribute("input_length") + (sum(padding) if isinstance(padding, tuple) else 2 * padding)
    reach = op.attribute("dilation", 1) * (op.attribute("kernel_size") - 1) + 1
    return int((padded - reach) // op.attribute("stride", 1) + 1)


def _conv1d_flops(_op: Op, inputs: Specs, outputs: Specs) -> int:
    weight: TensorSpec = inputs[1]
    return 2 * elements(outputs[0]) * prod(weight.shape[1:])


def _conv1d_device_operations(op: Op, inputs: Specs, outputs: Specs) -> int:
    """To shards, halo, move, convolution, from shards. In L1 there need be no shards to make and no move."""
    to_shards = inputs[0].memory.sharding is None
    from_shards = outputs[0].memory.sharding is None
    config: Config | None = op.attribute("conv_config")
    stays = config is not None and dict(config.fields).get("reallocate_halo_output") is False
    moves = op.attribute("slice_config") is None or not stays
    return 2 + to_shards + from_shards + moves


MATMUL = (
    Operation(
        "ttnn.linear",
        _linear,
        (2, 2),
        keywords=("bias",),
        attributes=_PRODUCT + _PLACED,
        flops=_product_flops,
        device_operations=_product_device_operations,
    ),
    Operation(
        "ttnn.matmul",
        _product,
        (2, 2),
        attributes=_PRODUCT + _PLACED,
        flops=_product_flops,
        device_operations=_product_device_operations,
    ),
    Operation(
        "ttnn.conv1d",
        _conv1d,
        (2, 2),
        keywords=("bias_tensor",),
        attributes=(
            *("in_channels", "out_channels", "batch_size", "input_length", "kernel_size", "stride", "padding"),
            *("dilation", "groups", "conv_config", "compute_config", "slice_config"),
            *_PLACED,
        ),
        operand_names=("input_tensor", "weight_tensor"),
        named_from=0,
        flops=_conv1d_flops,
        device_operations=_conv1d_device_operations,
    ),
)
