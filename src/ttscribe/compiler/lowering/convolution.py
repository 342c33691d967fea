"""Convolution over one dimension."""

from typing import Any

from torch import fx

from ttscribe.compiler.lowering.builder import Builder, bias_rows
from ttscribe.compiler.lowering.guards import all_of, arguments, floats_only, value
from ttscribe.compiler.lowering.registry import Refusal, rule
from ttscribe.compiler.program import Layout, Reason
from ttscribe.compiler.settings import CompileSettings


def _one(argument: Any) -> int:
    return int(argument[0]) if isinstance(argument, list | tuple) else int(argument)


def _convolution(node: fx.Node) -> tuple[Any, ...]:
    """(x, weight, bias, stride, padding, dilation, groups) of either overload."""
    if str(node.target) == "aten.convolution.default":
        x, weight, bias, stride, padding, dilation, _, _, groups = arguments(node)
        return x, weight, bias, stride, padding, dilation, groups
    defaults = (None, None, None, (1,), (0,), (1,), 1)
    return (*arguments(node), *defaults[len(arguments(node)) :])


def _plain_conv1d(node: fx.Node, _settings: CompileSettings) -> Refusal | None:
    x, weight, *_ = _convolution(node)
    if value(x).ndim != 3 or value(weight).ndim != 3:
        return Refusal(Reason.SHAPE, "only convolutions over one dimension are lowered")
    if str(node.target) == "aten.convolution.default" and arguments(node)[6]:
        return Refusal(Reason.ARGUMENT, "transposed convolutions are not lowered")
    return None


@rule("aten.conv1d.default", "aten.convolution.default", guard=all_of(floats_only, _plain_conv1d))
def conv1d(b: Builder, node: fx.Node) -> str:
    """PyTorch has channels before time, TT-NN after it: the permutations cancel between neighbours."""
    x, weight, bias, stride, padding, dilation, groups = _convolution(node)
    batch, channels, length = value(x).shape
    outputs, _, kernel = value(weight).shape
    # The naive program asks for rows; skip_regrouping_before_convolutions drops that where the input is in tiles.
    rows = b.cast(b.op("ttnn.permute", b.tensor(x), dims=(0, 2, 1)), layout=Layout.ROW_MAJOR)
    result = b.op(
        "ttnn.conv1d",
        rows,
        b.tensor(weight, layout=Layout.ROW_MAJOR),
        keywords={"bias_tensor": bias_rows(b, bias, 4, Layout.ROW_MAJOR)},
        in_channels=channels,
        out_channels=outputs,
        batch_size=batch,
        input_length=length,
        kernel_size=kernel,
        stride=_one(stride),
        padding=_one(padding),
        dilation=_one(dilation),
        groups=groups,
    )
    # TT-NN gives [1, 1, batch x time, channels].
    shape = value(node).shape
    result = b.op("ttnn.reshape", result, shape=(shape[0], shape[2], shape[1]))
    return b.op("ttnn.permute", result, dims=(0, 2, 1))
