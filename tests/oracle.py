"""Hugging Face's Whisper with our weights: what our own model is compared with."""

from typing import Any

import torch
from transformers import WhisperConfig as HuggingFaceConfig
from transformers import WhisperForConditionalGeneration

from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import WhisperModel


def hugging_face(model: WhisperModel, **overrides: Any) -> WhisperForConditionalGeneration:
    """The same weights (shared, not copied) in ``transformers``' model."""
    with torch.device("meta"):
        theirs = WhisperForConditionalGeneration(hugging_face_config(model.config, **overrides))
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    theirs.load_state_dict(state, assign=True)
    return theirs.eval()


def hugging_face_config(config: WhisperConfig, **overrides: Any) -> HuggingFaceConfig:
    fields = {name: getattr(config, name) for name in WhisperConfig.__slots__}
    special = {"bos_token_id": 50256, "eos_token_id": 50256, "pad_token_id": 50256, "decoder_start_token_id": 50257}
    if config.multilingual:
        special = {name: token + 1 for name, token in special.items()}
    return HuggingFaceConfig(**{**fields, **special, "attn_implementation": "sdpa", **overrides})
