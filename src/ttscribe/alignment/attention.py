"""One pass of the decoder over a known text, which shows where in the audio each token attends."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from ttscribe.alignment.warping import median_filter
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import Attention, Decoder, DecoderLayer, KeyValue, WhisperModel

Heads = Sequence[tuple[int, int]]
"""Attention heads as (decoder layer, head)."""


def alignment_heads(config: WhisperConfig, listed: Heads | None) -> Heads:
    """The heads that ``listed`` names, or all of the upper half of the decoder's layers, OpenAI's default.

    The default is also taken where the list names heads that the model lacks: a distilled checkpoint may carry the
    list of the larger model that it was made from.
    """
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    if listed and all(layer < layers and head < heads for layer, head in listed):
        return listed
    return [(layer, head) for layer in range(layers // 2, layers) for head in range(heads)]


def aligning_decoder(model: WhisperModel) -> Decoder:
    """The model's decoder, or a copy in float32 where it is on a GPU or in float16, which CPUs are slow at."""
    weight = model.decoder.embed_tokens.weight
    if weight.device.type == "cpu" and weight.dtype != torch.float16:
        return model.decoder
    return copy.deepcopy(model.decoder).to("cpu", torch.float32)


@torch.inference_mode()
def attend(
    decoder: Decoder, tokens: Tensor, encoder_states: Tensor, heads: Heads, positions: int
) -> tuple[Tensor, Tensor]:
    """Where each of ``tokens`` [T] attends in the first ``positions`` of ``encoder_states`` [S, D].

    Returns float32 salience [T, positions], the mean over ``heads`` of weights standardised over the tokens and
    filtered by a median in time; and the logits [T, V] after each token, in the dtype of the weights.
    """
    audio = encoder_states[None].to(decoder.embed_tokens.weight.dtype)
    states = decoder.embed_tokens(tokens[None]) + decoder.embed_positions.weight[: len(tokens)]
    mask = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
    salience = torch.zeros(len(tokens), positions)
    for index, module in enumerate(decoder.layers):
        layer = cast("DecoderLayer", module)
        normed = layer.self_attn_layer_norm(states)
        states = states + layer.self_attn(normed, layer.self_attn.key_value(normed), mask)
        normed, memory = layer.encoder_attn_layer_norm(states), layer.encoder_attn.key_value(audio)
        if chosen := [head for at, head in heads if at == index]:
            salience += _salience(_weights(layer.encoder_attn, normed, memory, chosen, positions)).sum(0)
        states = layer.feed_forward(states + layer.encoder_attn(normed, memory))
    logits = functional.linear(decoder.layer_norm(states), decoder.embed_tokens.weight)
    return salience / len(heads), logits[0]


def _weights(attention: Attention, states: Tensor, memory: KeyValue, heads: Sequence[int], positions: int) -> Tensor:
    """Attention weights [heads, T, positions] among the first positions alone."""
    query = attention.split(attention.q_proj(states))[0, heads].float()
    key = memory.key[0, heads, :positions].float()
    return (query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])).softmax(-1)


def _salience(weights: Tensor) -> Tensor:
    std, mean = torch.std_mean(weights, dim=-2, keepdim=True, correction=0)
    # Far from the text all weights may be zero: nothing stands out there, and nothing is divided by zero.
    return median_filter((weights - mean) / std.clamp_min(torch.finfo(std.dtype).tiny))
