"""What a CPU computes in: chosen by what it is fast at, and why."""

from __future__ import annotations

from typing import NamedTuple

from ttscribe import processor
from ttscribe.devices.cpu import kernels
from ttscribe.errors import OptionError
from ttscribe.whisper.config import WhisperConfig

PRECISIONS = ("float32", "bfloat16", "int8")

_WORDS = {
    "fp16": "AVX-512 VNNI, and float16 for attention",
    "bf16": "AVX-512 VNNI, and bfloat16 for attention",
    "avx512": "AVX-512 VNNI",
    "avxvnni": "AVX-VNNI",
    "avx2": "AVX2",
    "i8mm": "Arm's I8MM",
    "dotprod": "Arm's dot products",
}
_BFLOAT16 = ("amx_bf16", "avx512_bf16")


class Choice(NamedTuple):
    """A precision, and the reason for it in a clause."""

    precision: str
    why: str


def automatic(config: WhisperConfig | None = None) -> Choice:
    """The fastest precision on this CPU, for a model of this shape where it is known (docs/performance.md)."""
    obstacle = why_no_int8(config)
    if obstacle is None:
        return Choice("int8", f"this CPU multiplies 8-bit numbers ({_WORDS[str(kernels.best())]})")
    if fast := [name for name in _BFLOAT16 if name in processor.instructions()]:
        return Choice("bfloat16", f"this CPU multiplies bfloat16 numbers ({fast[0]}); no int8: {obstacle}")
    return Choice("float32", f"no int8: {obstacle}; no bfloat16: this CPU has neither {' nor '.join(_BFLOAT16)}")


def why_no_int8(config: WhisperConfig | None = None) -> str | None:
    """Why int8 cannot be had here, or for a model of this shape; None where it can."""
    if (obstacle := kernels.why_not()) is not None or config is None:
        return obstacle
    heads = {config.encoder_attention_heads, config.decoder_attention_heads}
    if any(config.d_model != count * kernels.HEAD for count in heads):
        return f"attention heads are not {kernels.HEAD} wide in this model"
    if config.encoder_ffn_dim % kernels.UNIT or config.decoder_ffn_dim % kernels.UNIT:
        return f"a feed-forward network of this model is no multiple of {kernels.UNIT} wide"
    if config.num_mel_bins % kernels.BINS:
        return f"{config.num_mel_bins} mel bins of this model are no multiple of {kernels.BINS}"
    if config.max_source_positions > kernels.POSITIONS or config.max_target_positions > kernels.SLOTS:
        return f"this model has more than {kernels.POSITIONS} encoder positions or {kernels.SLOTS} tokens"
    return None


def require(precision: str, config: WhisperConfig) -> None:
    """Raise OptionError where the CPU does not run a model of this shape in that precision."""
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise OptionError(f"on cpu the precision is auto, {known}, not {precision!r}")
    if precision == "int8" and (obstacle := why_no_int8(config)) is not None:
        raise OptionError(f"int8 cannot be had: {obstacle}; choose float32 or bfloat16")
