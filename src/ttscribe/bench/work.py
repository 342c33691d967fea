"""What a model has to do, from its shape alone."""

from __future__ import annotations

from ttscribe.whisper.config import WhisperConfig

_KERNEL = 3  # frames that a convolution of the encoder looks at


def encoder_operations(config: WhisperConfig) -> int:
    """Additions and multiplications of the products of one window's encoder: convolutions, projections, attention."""
    width, positions = config.d_model, config.max_source_positions
    convolutions = config.mel_frames * width * config.num_mel_bins * _KERNEL + positions * width * width * _KERNEL
    projections = positions * (4 * width * width + 2 * width * config.encoder_ffn_dim)
    attention = 2 * positions * positions * width
    return 2 * (convolutions + config.encoder_layers * (projections + attention))


def layer_weights(config: WhisperConfig) -> int:
    """Weights of the decoder's matrices that one token is multiplied by.

    Without those of cross-attention's keys and values, which are made once for a window.
    """
    width = config.d_model
    return config.decoder_layers * (4 * width * width + 2 * width * width + 2 * width * config.decoder_ffn_dim)


def vocabulary_weights(config: WhisperConfig) -> int:
    """Weights of the matrix that gives one token's logits."""
    return config.d_model * config.vocab_size
