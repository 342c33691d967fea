"""From logits to tokens, and from tokens to timed segments."""

from ttscribe.decoding.greedy import DecodedWindow, Prompt, decode_greedily, detect_language
from ttscribe.decoding.rules import Rules, TimestampGrammar
from ttscribe.decoding.runner import Closable, Picks, Runner, greedy_on_host
from ttscribe.decoding.segments import TimedTokens, split_window

__all__ = [
    "Closable",
    "DecodedWindow",
    "Picks",
    "Prompt",
    "Rules",
    "Runner",
    "TimedTokens",
    "TimestampGrammar",
    "decode_greedily",
    "detect_language",
    "greedy_on_host",
    "split_window",
]
