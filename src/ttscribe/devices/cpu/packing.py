"""From a model to its weights in 8 bits, in the layout of ``kernels``; with PyTorch, and once for a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ttscribe import threads
from ttscribe.devices.cpu import kernels
from ttscribe.devices.cpu.packed import Packed
from ttscribe.errors import CheckpointInvalid
from ttscribe.whisper.model import Decoder, DecoderLayer, EncoderLayer, WhisperModel

Tensors = Mapping[str, Tensor]
"""As ``Packed``, in PyTorch."""


def pack(model: WhisperModel) -> Packed:
    """The weights in the kernels' layout; each is converted on its own.

    Raises:
        CheckpointInvalid: weights are no numbers.
    """
    packed: dict[str, Tensor] = {}
    with ThreadPoolExecutor(threads.count()) as pool:
        for part in pool.map(lambda made: made(), _parts(model)):
            packed.update(part)
    return {name: tensor.contiguous().numpy() for name, tensor in packed.items()}


def _parts(model: WhisperModel) -> Iterator[Callable[[], Tensors]]:
    """What gives the tensors of each part of the model."""
    encoder, decoder = model.encoder, model.decoder
    yield partial(_convolution, "conv1", encoder.conv1)
    yield partial(_convolution, "conv2", encoder.conv2)
    for index, module in enumerate(encoder.layers):
        layer, name = cast("EncoderLayer", module), f"encoder.{index}"
        attention = layer.self_attn
        inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
        yield partial(_block, f"{name}.attention", layer.self_attn_layer_norm, inputs, attention.out_proj)
        yield partial(_block, f"{name}.feed_forward", layer.final_layer_norm, (layer.fc1,), layer.fc2)
    for index, module in enumerate(decoder.layers):
        yield from _decoder_layer(f"decoder.{index}", cast("DecoderLayer", module))
    yield partial(_norm, "encoder_norm", encoder.layer_norm.weight, encoder.layer_norm.bias)
    yield partial(_head, decoder)
    yield partial(_unpacked, model)


def _decoder_layer(name: str, layer: DecoderLayer) -> Iterator[Callable[[], Tensors]]:
    own, cross = layer.self_attn, layer.encoder_attn
    block = partial(_block, equalised=True)
    inputs = (own.q_proj, own.k_proj, own.v_proj)
    yield partial(block, f"{name}.self_attention", layer.self_attn_layer_norm, inputs, own.out_proj)
    yield partial(block, f"{name}.cross_attention", layer.encoder_attn_layer_norm, (cross.q_proj,), cross.out_proj)
    yield partial(block, f"{name}.feed_forward", layer.final_layer_norm, (layer.fc1,), layer.fc2)
    yield lambda: _linear(f"{name}.cross_key_value", *_joined((cross.k_proj, cross.v_proj)))


def _block(
    name: str, norm: nn.LayerNorm, inputs: Sequence[nn.Linear], out: nn.Linear, *, equalised: bool = False
) -> Tensors:
    if equalised:
        into = _equalised(f"{name}.norm", f"{name}.into", norm, inputs)
    else:
        into = {**_norm(f"{name}.norm", norm.weight, norm.bias), **_linear(f"{name}.into", *_joined(inputs))}
    return {**into, **_linear(f"{name}.out", *_joined((out,)))}


def _equalised(norm_name: str, name: str, norm: nn.LayerNorm, linears: Sequence[nn.Linear | nn.Embedding]) -> Tensors:
    """A norm and the product of what it gives, every input's largest weight made 1 and its size given to the norm.

    Whisper's embedding has a few inputs with weights far above all others. Scaled for them, 8 bits leave the others a
    few steps: of tiny.en's logits that costs 0.004 of their correlation with float32's, and so 0.0001. The norm's
    output may be as uneven as it likes where it is multiplied in 16 bits, as the decoder's is.
    """
    weight, bias = _joined(linears)
    largest = weight.abs().amax(0).clamp_min(torch.finfo(torch.float32).tiny)
    scaled = _norm(norm_name, norm.weight.float() * largest, norm.bias.float() * largest)
    return {**scaled, **_linear(name, weight / largest, bias)}


def _head(decoder: Decoder) -> Tensors:
    """The last norm and the product with the vocabulary, which has no bias, in halves of 4 bits."""
    packed = dict(_equalised("decoder_norm", "head", decoder.layer_norm, (decoder.embed_tokens,)))
    del packed["head.bias"]
    whole, sums = packed["head.weight"], packed["head.sums"]
    halves, upper_sums = torch.empty_like(whole), torch.empty_like(sums)
    kernels.library().ttscribe_halve(
        whole.data_ptr(), len(sums), whole.shape[1] * 4, halves.data_ptr(), upper_sums.data_ptr()
    )
    return {**packed, "head.weight": halves, "head.upper_sums": upper_sums}


def _joined(linears: Sequence[nn.Linear | nn.Embedding]) -> tuple[Tensor, Tensor]:
    """Weight [outputs, inputs] and bias [outputs], in float32, of products of the same input together."""
    biases = [getattr(each, "bias", None) for each in linears]
    filled = [
        torch.zeros(len(each.weight)) if bias is None else bias for each, bias in zip(linears, biases, strict=True)
    ]
    return torch.cat([each.weight.float() for each in linears]), torch.cat([each.float() for each in filled])


def _linear(name: str, weight: Tensor, bias: Tensor) -> Tensors:
    # In 8 bits what is no number would be one.
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise CheckpointInvalid(f"the weights of {name} are not numbers: the checkpoint is damaged")
    outputs, inputs = weight.shape
    panels = -(-outputs // kernels.UNIT)
    packed = torch.empty(panels, inputs // 4, kernels.UNIT, 4, dtype=torch.int8)
    scale, sums = torch.empty(panels * kernels.UNIT), torch.empty(panels * kernels.UNIT, dtype=torch.int32)
    values = weight.contiguous()
    kernels.library().ttscribe_pack(
        values.data_ptr(), outputs, inputs, packed.data_ptr(), scale.data_ptr(), sums.data_ptr()
    )
    filled = functional.pad(bias, (0, panels * kernels.UNIT - outputs))
    return {f"{name}.weight": packed, f"{name}.scale": scale, f"{name}.sums": sums, f"{name}.bias": filled}


def _norm(name: str, weight: Tensor, bias: Tensor) -> Tensors:
    return {f"{name}.weight": weight.float(), f"{name}.bias": bias.float()}


def _convolution(name: str, convolution: nn.Conv1d) -> Tensors:
    """As a product with three positions beside each other, all channels of each; weights [outputs, 3 x channels].

    In twice 8 bits: what rounding took is a product of its own.
    """
    assert convolution.bias is not None
    weight = convolution.weight.float().transpose(1, 2).flatten(1)
    product = _linear(f"{name}.product", weight, convolution.bias.float())
    scale = weight.abs().amax(1, keepdim=True) / 127
    rest = weight - (weight / scale.clamp_min(torch.finfo(torch.float32).tiny)).round() * scale
    return {**product, **_linear(f"{name}.rest", rest, torch.zeros(len(rest)))}


def _unpacked(model: WhisperModel) -> Tensors:
    """What is not quantised: positions in float32, the embedding of tokens in float16."""
    return {
        "embedding": model.decoder.embed_tokens.weight.to(torch.float16),
        "positions": model.decoder.embed_positions.weight.float(),
        "audio_positions": model.encoder.embed_positions.weight.float(),
    }
