"""A Hugging Face folder as CTranslate2's, by CTranslate2's own converter, in float16.

Usage: python convert_ctranslate2.py HUGGINGFACE_FOLDER NEW_FOLDER
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from ctranslate2.converters.transformers import WhisperLoader
from transformers import WhisperForConditionalGeneration


def convert(source: Path, target: Path) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(source, dtype=torch.float16)
    with torch.inference_mode():
        spec = WhisperLoader().get_model_spec(model)
    spec.config.suppress_ids = model.generation_config.suppress_tokens
    spec.config.suppress_ids_begin = model.generation_config.begin_suppress_tokens
    spec.register_vocabulary(texts(source / "tokenizer.json", model.config.vocab_size))
    spec.validate()
    spec.optimize(quantization="float16")
    target.mkdir()
    spec.save(str(target))
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(source / name, target)


def texts(path: Path, size: int) -> list[str]:
    """A text for each token; CTranslate2 does not look at those of timestamps, which ``tokenizer.json`` lacks."""
    values = json.loads(path.read_text(encoding="utf-8"))
    by_id = {token: text for text, token in values["model"]["vocab"].items()}
    by_id |= {added["id"]: added["content"] for added in values["added_tokens"]}
    first = len(by_id)
    return [by_id[token] if token < first else f"<|{(token - first) * 0.02:.2f}|>" for token in range(size)]


if __name__ == "__main__":
    convert(*map(Path, sys.argv[1:]))
