"""Hugging Face's Whisper with our weights: what our own model is compared with."""

from typing import Any

import torch
from torch import Tensor
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
    special = {name: getattr(model.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    multilingual: dict[str, Any] = {"is_multilingual": tokenizer.multilingual}
    if tokenizer.multilingual:
        languages = {f"<|{code}|>": tokenizer.language_token(code) for code in checkpoint.languages}
        tasks = {"transcribe": tokenizer.transcribe, "translate": tokenizer.translate}
        multilingual |= {"lang_to_id": languages, "task_to_id": tasks, "language": "en", "task": "transcribe"}
    return GenerationConfig(
        decoder_start_token_id=tokenizer.sot,
        no_timestamps_token_id=tokenizer.no_timestamps,
        prev_sot_token_id=tokenizer.start_of_prev,
        max_initial_timestamp_index=checkpoint.max_initial_timestamp_index,
        suppress_tokens=list(checkpoint.suppress_tokens),
        begin_suppress_tokens=list(checkpoint.begin_suppress_tokens),
        return_timestamps=False,
        max_length=448,
        **special,
        **multilingual,
    )


def suppressed(logits: Tensor, checkpoint: Checkpoint) -> Tensor:
    """A text's logits [T, V] without the tokens that never come, or not first."""
    logits = logits.clone()
    logits[:, list(checkpoint.suppress_tokens)] = -torch.inf
    logits[0, list(checkpoint.begin_suppress_tokens)] = -torch.inf
    return logits
