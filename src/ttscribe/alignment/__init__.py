"""When each word of a text is said: cross-attention followed by dynamic time warping, as in OpenAI's whisper.

``aligner`` has what finds it, and is imported where words are asked for: it needs PyTorch, whose import takes seconds.
"""

from ttscribe.alignment.anomalies import SilenceSkip

__all__ = ["SilenceSkip"]
