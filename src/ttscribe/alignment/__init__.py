"""When each word of a text is said: cross-attention followed by dynamic time warping, as in OpenAI's whisper."""

from ttscribe.alignment.aligner import Aligner
from ttscribe.alignment.anomalies import SilenceSkip
from ttscribe.alignment.attention import aligning_decoder

__all__ = ["Aligner", "SilenceSkip", "aligning_decoder"]
