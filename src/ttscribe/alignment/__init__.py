"""When each word of a text is said: cross-attention followed by dynamic time warping, as in OpenAI's whisper."""

from ttscribe.alignment.aligner import Aligner

__all__ = ["Aligner"]
