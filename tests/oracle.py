"""Hugging Face's Whisper with our weights: what our own model is compared with."""

from typing import Any

import torch
from transformers import GenerationConfig, WhisperForConditionalGeneration
from transformers import WhisperConfig as HuggingFaceConfig

from ttscribe.whisper.checkpoints import Checkpoint
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


def generation_config(checkpoint: Checkpoint, model: WhisperForConditionalGeneration) -> GenerationConfig:
    """What the checkpoint's own ``generation_config.json`` would say."""
    tokenizer = checkpoint.tokenizer
    (start, *rest) = tokenizer.prompt("en", "transcribe", timestamps=False)
    special = {name: getattr(model.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    multilingual: dict[str, Any] = {"is_multilingual": len(rest) > 1}
    if len(rest) > 1:
        language, task, _ = rest
        multilingual |= {"lang_to_id": {"<|en|>": language}, "task_to_id": {"transcribe": task}}
        multilingual |= {"language": "en", "task": "transcribe"}
    return GenerationConfig(
        decoder_start_token_id=start,
        no_timestamps_token_id=rest[-1],
        suppress_tokens=list(checkpoint.suppress_tokens),
        begin_suppress_tokens=list(checkpoint.begin_suppress_tokens),
        return_timestamps=False,
        max_length=448,
        **special,
        **multilingual,
    )
