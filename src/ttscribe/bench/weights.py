"""One model's weights in the format of every system: float16, as published ones are, so that all read equal numbers."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer as BytePairTokenizer
from tokenizers import decoders, models, pre_tokenizers

from ttscribe.audio import HOP, SAMPLE_RATE, WINDOW_SAMPLES
from ttscribe.audio.features import N_FFT
from ttscribe.errors import ModelNotFound, with_extra
from ttscribe.whisper.checkpoints import load_checkpoint
from ttscribe.whisper.checkpoints.hub import canonical_name
from ttscribe.whisper.checkpoints.openai import borrowed_tokenizer
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import WhisperModel, random_model
from ttscribe.whisper.tokenizer import Tokenizer, special_tokens
from ttscribe.whisper.vocabulary import merges_of


def write_huggingface(name: str, folder: Path, *, random: bool, offline: bool = False) -> WhisperConfig:
    """A folder as ``save_pretrained`` writes it, of a model's own weights or of seeded random ones; gives its shape.

    Random weights get the texts of a vocabulary that is on this machine, and suppress what would end a text.

    Raises:
        ModelNotFound: no model or no size of that name, or no vocabulary for random weights.
    """
    model, tokenizer, suppressed = _random(name) if random else _own(name, offline)
    state = {f"model.{key}": tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    (folder / "tokenizer.json").write_text(_tokenizer_json(tokenizer), encoding="utf-8")
    ids = _special_ids(tokenizer)
    _write(folder / "config.json", {"model_type": "whisper", **asdict(model.config), **ids})
    _write(folder / "generation_config.json", _generation(tokenizer, suppressed) | ids)
    _write(folder / "preprocessor_config.json", _preprocessor(model.config))
    return model.config


def _own(name: str, offline: bool) -> tuple[WhisperModel, Tokenizer, tuple[int, ...]]:
    checkpoint = load_checkpoint(name, dtype="float16", offline=offline)
    return checkpoint.model, checkpoint.tokenizer, checkpoint.suppress_tokens


def _random(name: str) -> tuple[WhisperModel, Tokenizer, tuple[int, ...]]:
    config = WhisperConfig.named(canonical_name(name))
    tokenizer = borrowed_tokenizer(config.vocab_size)
    if tokenizer is None:
        raise ModelNotFound(f"no vocabulary for random weights is on this machine: {with_extra('bundled')}")
    # What would end a text: every special token, and every timestamp.
    suppressed = (*tokenizer.non_speech_tokens(), *range(tokenizer.eot, config.vocab_size))
    return random_model(config, dtype=torch.float16), tokenizer, suppressed


def _tokenizer_json(tokenizer: Tokenizer) -> str:
    library = BytePairTokenizer(models.BPE(tokenizer.texts, merges_of(tokenizer.texts)))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    names = {token: name for name, token in special_tokens(tokenizer.vocab_size).items() if name != "<|0.00|>"}
    library.add_special_tokens([names[token] for token in sorted(names)])
    return library.to_str()


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eot)
    return {**ends, "decoder_start_token_id": tokenizer.sot}


def _generation(tokenizer: Tokenizer, suppressed: tuple[int, ...]) -> dict[str, Any]:
    common = {
        "is_multilingual": tokenizer.multilingual,
        "no_timestamps_token_id": tokenizer.no_timestamps,
        "prev_sot_token_id": tokenizer.start_of_prev,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "suppress_tokens": list(suppressed),
        "begin_suppress_tokens": list(tokenizer.default_begin_suppress_tokens()),
    }
    if not tokenizer.multilingual:
        return common
    languages = {f"<|{code}|>": tokenizer.language_token(code) for code in tokenizer.languages}
    tasks = {"transcribe": tokenizer.transcribe, "translate": tokenizer.translate}
    return {**common, "lang_to_id": languages, "task_to_id": tasks}


def _preprocessor(config: WhisperConfig) -> dict[str, Any]:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "chunk_length": WINDOW_SAMPLES // SAMPLE_RATE,
        "feature_size": config.num_mel_bins,
        "sampling_rate": SAMPLE_RATE,
        "hop_length": HOP,
        "n_fft": N_FFT,
    }


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")
