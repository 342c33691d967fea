"""From logits to tokens, and from tokens to timed segments."""

from ttscribe.decoding.greedy import Decoded, Prompt, decode_greedily, detect_language
from ttscribe.decoding.rules import Rules, TimestampGrammar
from ttscribe.decoding.segments import TimedTokens, split_window

__all__ = [
    "Decoded",
    "Prompt",
    "Rules",
    "TimedTokens",
    "TimestampGrammar",
    "decode_greedily",
    "detect_language",
    "split_window",
]
