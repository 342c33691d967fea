"""A model as the file that whisper.cpp reads, its matrices in q8_0: what its converter and its quantiser make.

After the magic number come the shape, the mel filters, the bytes of each token, and tensors under OpenAI's names. The
layout is that of ``convert-h5-to-ggml.py`` and ``quantize`` in https://github.com/ggml-org/whisper.cpp.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors.torch import load_file

from ttscribe.audio.features import mel_filters
from ttscribe.types import FloatArray
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.json_files import read_object
from ttscribe.whisper.tokenizer import special_tokens
from ttscribe.whisper.vocabulary import read_vocabulary, token_bytes

_MAGIC = 0x67676D6C  # "ggml"
# The version of ggml's quantised types (2), and "mostly q8_0" (7).
_FILE_TYPE = 2 * 1000 + 7
_FLOAT32, _FLOAT16, _Q8_0 = 0, 1, 8
_BLOCK = 32

_PARTS = {
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "final_layer_norm": "mlp_ln",
    "self_attn": "attn",
    "encoder_attn": "cross_attn",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "layers": "blocks",
}
_WHOLE = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "encoder.layer_norm.weight": "encoder.ln_post.weight",
    "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.layer_norm.weight": "decoder.ln.weight",
    "decoder.layer_norm.bias": "decoder.ln.bias",
}


def write_ggml(source: Path, target: Path) -> None:
    """Write the model of a Hugging Face folder (``model.safetensors``, ``config.json``, ``tokenizer.json``)."""
    config = WhisperConfig.from_dict(read_object(source / "config.json"))
    with target.open("wb") as file:
        _integers(file, _MAGIC, *_shape(config), _FILE_TYPE)
        filters = mel_filters(config.num_mel_bins)
        _integers(file, *filters.shape)
        file.write(filters.tobytes())
        _vocabulary(file, source / "tokenizer.json", config.vocab_size)
        for key, tensor in load_file(source / "model.safetensors").items():
            _tensor(file, openai_name(key.removeprefix("model.")), tensor)


def openai_name(name: str) -> str:
    """OpenAI's name of a tensor that Hugging Face calls ``name``."""
    return _WHOLE.get(name) or ".".join(_PARTS.get(part, part) for part in name.split("."))


def q8_0(rows: FloatArray) -> bytes:
    """Blocks of 32 numbers of a row, each a float16 scale (the largest magnitude / 127) and 32 signed bytes."""
    blocks = rows.reshape(-1, _BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    packed = np.empty(len(blocks), dtype=[("scale", "<f2"), ("values", "i1", _BLOCK)])
    packed["scale"] = scale[:, 0]
    packed["values"] = np.rint(blocks * inverse)
    return packed.tobytes()


def _integers(file: BinaryIO, *values: int) -> None:
    file.write(struct.pack(f"<{len(values)}i", *values))


def _shape(config: WhisperConfig) -> Iterator[int]:
    yield config.vocab_size
    yield from (config.max_source_positions, config.d_model, config.encoder_attention_heads, config.encoder_layers)
    yield from (config.max_target_positions, config.d_model, config.decoder_attention_heads, config.decoder_layers)
    yield config.num_mel_bins


def _vocabulary(file: BinaryIO, path: Path, vocab_size: int) -> None:
    # whisper.cpp makes the special tokens itself, from the vocabulary's size.
    text = special_tokens(vocab_size)["<|endoftext|>"]
    by_id = {token: name for name, token in read_vocabulary(path).tokens.items() if token < text}
    _integers(file, text)
    for token in range(text):
        data = token_bytes(by_id[token])
        _integers(file, len(data))
        file.write(data)


def _tensor(file: BinaryIO, name: str, tensor: torch.Tensor) -> None:
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        tensor = tensor[:, None]
    kind, data = _encoded(name, tensor)
    encoded = name.encode()
    _integers(file, tensor.ndim, len(encoded), kind, *reversed(tensor.shape))
    file.write(encoded)
    file.write(data)


def _encoded(name: str, tensor: torch.Tensor) -> tuple[int, bytes]:
    """Matrices in q8_0, convolutions in float16; vectors and positions, which are added, in float32."""
    if tensor.ndim == 3:
        return _FLOAT16, tensor.half().numpy().tobytes()
    values = tensor.float().numpy()
    if tensor.ndim == 1 or tensor.shape[1] % _BLOCK or name.endswith("positional_embedding"):
        return _FLOAT32, values.tobytes()
    return _Q8_0, q8_0(values)
