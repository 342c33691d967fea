"""Whisper's shapes: the configuration, and every published size."""

from dataclasses import dataclass, fields, replace
from typing import Any

from ttscribe.errors import CheckpointInvalid, ModelNotFound

# Tokens, special ones and 1501 timestamps included. English models have GPT-2's vocabulary; the multilingual one was
# made anew and has one text token more; large-v3 brought one language more, Cantonese.
ENGLISH_VOCABULARY = 51864
MULTILINGUAL_VOCABULARY = 51865
V3_VOCABULARY = 51866


@dataclass(frozen=True, slots=True)
class WhisperConfig:
    """The shape of a Whisper model; fields are named as in Hugging Face's ``config.json``.

    Raises:
        CheckpointInvalid: a field is not a positive whole number, or ``d_model`` no multiple of a number of heads.
    """

    vocab_size: int
    num_mel_bins: int
    d_model: int
    encoder_layers: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    decoder_layers: int
    decoder_attention_heads: int
    decoder_ffn_dim: int
    # Encoder positions in 30 s, and the tokens that prompt and text may have together.
    max_source_positions: int = 1500
    max_target_positions: int = 448

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise CheckpointInvalid(f"configuration: {field.name} must be a positive whole number, not {value!r}")
        for side in ("encoder", "decoder"):
            heads = getattr(self, f"{side}_attention_heads")
            if self.d_model % heads:
                raise CheckpointInvalid(f"configuration: d_model {self.d_model} is no multiple of {side} heads {heads}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "WhisperConfig":
        """Take the fields from a parsed ``config.json``; other keys are ignored.

        Raises:
            CheckpointInvalid: a field is missing or impossible; it is named.
        """
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        missing = [name for name in _REQUIRED if name not in known]
        if missing:
            raise CheckpointInvalid(f"configuration: {', '.join(missing)} missing; is this a Whisper model?")
        return cls(**known)

    @classmethod
    def named(cls, size: str) -> "WhisperConfig":
        """The configuration of a published size, such as "tiny.en" or "distil-large-v3".

        Raises:
            ModelNotFound: no published size has that name.
        """
        try:
            return SIZES[size]
        except KeyError:
            raise ModelNotFound(f"no Whisper size is called {size!r}; there are {', '.join(SIZES)}") from None

    @property
    def multilingual(self) -> bool:
        """Whether the vocabulary has language tokens (a distilled model may know English only all the same)."""
        return self.vocab_size >= MULTILINGUAL_VOCABULARY

    @property
    def mel_frames(self) -> int:
        """Mel frames in a window: two per encoder position, 3000 for 30 s."""
        return 2 * self.max_source_positions


_REQUIRED = tuple(field.name for field in fields(WhisperConfig) if not field.name.startswith("max_"))


def _size(d_model: int, layers: int, heads: int) -> WhisperConfig:
    ffn = 4 * d_model
    return WhisperConfig(MULTILINGUAL_VOCABULARY, 80, d_model, layers, heads, ffn, layers, heads, ffn)


_TINY, _BASE, _SMALL = _size(384, 4, 6), _size(512, 6, 8), _size(768, 12, 12)
_MEDIUM, _LARGE = _size(1024, 24, 16), _size(1280, 32, 20)
_LARGE_V3 = replace(_LARGE, vocab_size=V3_VOCABULARY, num_mel_bins=128)


def _english(config: WhisperConfig) -> WhisperConfig:
    return replace(config, vocab_size=ENGLISH_VOCABULARY)


# From the model cards and config.json files of openai/whisper-* and distil-whisper/distil-*.
SIZES: dict[str, WhisperConfig] = {
    "tiny": _TINY,
    "tiny.en": _english(_TINY),
    "base": _BASE,
    "base.en": _english(_BASE),
    "small": _SMALL,
    "small.en": _english(_SMALL),
    "medium": _MEDIUM,
    "medium.en": _english(_MEDIUM),
    "large-v1": _LARGE,
    "large-v2": _LARGE,
    "large-v3": _LARGE_V3,
    "large-v3-turbo": replace(_LARGE_V3, decoder_layers=4),
    "distil-small.en": replace(_english(_SMALL), decoder_layers=4),
    "distil-medium.en": replace(_english(_MEDIUM), decoder_layers=2),
    "distil-large-v2": replace(_LARGE, decoder_layers=2),
    "distil-large-v3": replace(_LARGE_V3, decoder_layers=2),
    "distil-large-v3.5": replace(_LARGE_V3, decoder_layers=2),
}
