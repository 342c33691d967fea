"""tiny.en as compiled programs, and a model in miniature."""

import pytest

from ttscribe.devices import make_runner
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import random_model

# Small, with heads of 64 columns as every published size has.
SMALL = WhisperConfig(
    vocab_size=320,
    num_mel_bins=80,
    d_model=128,
    encoder_layers=1,
    encoder_attention_heads=2,
    encoder_ffn_dim=256,
    decoder_layers=1,
    decoder_attention_heads=2,
    decoder_ffn_dim=256,
    max_source_positions=160,
    max_target_positions=64,
)


@pytest.fixture(scope="session")
def small_model():
    return random_model(SMALL)


@pytest.fixture(scope="session")
def exact(tiny_en):
    """tiny.en's programs on the emulator in float32, its greedy step without the tokens that are never picked."""
    return make_runner("emulator", tiny_en.model, "exact", tiny_en.suppress_tokens)
