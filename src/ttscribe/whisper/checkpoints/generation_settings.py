"""What a checkpoint says of its use: the tokens it must not give, the heads that align, the languages it knows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttscribe.errors import CheckpointInvalid
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.languages import LANGUAGES
from ttscribe.whisper.tokenizer import Tokenizer

# 1.0 s in steps of 0.02 s: Whisper's limit for the first timestamp of a window.
_MAX_INITIAL_TIMESTAMP_INDEX = 50


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """The keys of ``generation_config.json`` that count here; None where the checkpoint does not say.

    ``max_initial_timestamp_index`` counts steps of 0.02 s; ``alignment_heads`` are (decoder layer, head); ``language``
    is a code, a name or a token, such as "en" or "<|en|>".
    """

    suppress_tokens: tuple[int, ...] | None = None
    begin_suppress_tokens: tuple[int, ...] | None = None
    max_initial_timestamp_index: int = _MAX_INITIAL_TIMESTAMP_INDEX
    alignment_heads: tuple[tuple[int, int], ...] | None = None
    is_multilingual: bool | None = None
    language: str | None = None


def read_generation_settings(values: dict[str, Any], origin: Path) -> GenerationSettings:
    """Check and take the known keys of a parsed ``generation_config.json``.

    Raises:
        CheckpointInvalid: a key has a value of the wrong type.
    """
    index = values.get("max_initial_timestamp_index")
    heads = values.get("alignment_heads")
    multilingual, language = values.get("is_multilingual"), values.get("language")
    checks = {
        "max_initial_timestamp_index": index is None or _is_id(index),
        "alignment_heads": heads is None
        or (_is_list(heads) and all(_is_ids(head) and len(head) == 2 for head in heads)),
        "suppress_tokens": _is_ids(values.get("suppress_tokens") or []),
        "begin_suppress_tokens": _is_ids(values.get("begin_suppress_tokens") or []),
        "is_multilingual": multilingual is None or isinstance(multilingual, bool),
        "language": language is None or isinstance(language, str),
    }
    for key, good in checks.items():
        if not good:
            raise CheckpointInvalid(f"{origin}: {key} cannot be {values[key]!r}")
    return GenerationSettings(
        _tokens(values, "suppress_tokens"),
        _tokens(values, "begin_suppress_tokens"),
        _MAX_INITIAL_TIMESTAMP_INDEX if index is None else index,
        None if heads is None else tuple((layer, head) for layer, head in heads),
        multilingual,
        language,
    )


def _tokens(values: dict[str, Any], key: str) -> tuple[int, ...] | None:
    # An absent key leaves the choice to us; a null is the checkpoint's choice to suppress nothing.
    return tuple(values[key] or ()) if key in values else None


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_id(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(_is_id(item) for item in value)


# distil-large-* have the multilingual vocabulary but were distilled on English alone.
_ENGLISH_DISTILLATION = re.compile(r"(?:^|[-/])distil-(?:whisper-)?large-v(?:2|3|3\.5)(?:-ct2)?$")
_DISTILLED_SHAPE = (32, 2, 1280)

# Distillations to other languages have the same shape and say so in their name: by the language's English name, by its
# code behind "distil-" or the version, or (kotoba-whisper is Japanese) by a name of their own.
_NAMES = "|".join(name for code, name in LANGUAGES.items() if code != "en")
_CODES = "|".join(code for code in LANGUAGES if code != "en")
_OTHER_LANGUAGE = re.compile(rf"\b(?:{_NAMES}|kotoba)\b|\b(?:distil|v[\d.]+)-(?:{_CODES})\b")


def known_languages(
    config: WhisperConfig, tokenizer: Tokenizer, settings: GenerationSettings, names: Iterable[str]
) -> tuple[str, ...]:
    """Codes of the languages that the weights know: all of the vocabulary's, or English alone.

    English alone: the vocabulary is English-only; or ``is_multilingual`` is false; or it is one of distil-whisper's
    distil-large models, told by one of ``names`` or by its shape. The shape tells nothing where a name or the
    checkpoint's own ``language`` speaks of another language.
    """
    if not tokenizer.multilingual or settings.is_multilingual is False:
        return ("en",)
    names = [name.lower().replace("--", "/").replace("_", "-") for name in names]
    if _is_other_language(settings.language) or any(_OTHER_LANGUAGE.search(name) for name in names):
        return tokenizer.languages
    shape = (config.encoder_layers, config.decoder_layers, config.d_model)
    if shape == _DISTILLED_SHAPE or any(_ENGLISH_DISTILLATION.search(name) for name in names):
        return ("en",)
    return tokenizer.languages


def _is_other_language(language: str | None) -> bool:
    return language is not None and language.lower().strip("<|>") not in {"en", "english"}
