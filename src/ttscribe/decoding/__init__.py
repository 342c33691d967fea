"""From logits to tokens, and from tokens to timed segments."""

from ttscribe.decoding.context import Context
from ttscribe.decoding.language import LanguageDetector, Shares, likeliest, spoken
from ttscribe.decoding.rules import RepetitionRules, Rules, TimestampGrammar, require_number
from ttscribe.decoding.runner import LAST, Closable, Picks, Runner, greedy_on_host, pick_on_host
from ttscribe.decoding.search import (
    DecodedWindow,
    Prompt,
    decode_greedily,
    most_rows,
    read_prompt,
    sample,
    search_beams,
)
from ttscribe.decoding.segments import TimedTokens, split_window
from ttscribe.decoding.windows import Outcome, Window, WindowDecoder

__all__ = [
    "LAST",
    "Closable",
    "Context",
    "DecodedWindow",
    "LanguageDetector",
    "Outcome",
    "Picks",
    "Prompt",
    "RepetitionRules",
    "Rules",
    "Runner",
    "Shares",
    "TimedTokens",
    "TimestampGrammar",
    "Window",
    "WindowDecoder",
    "decode_greedily",
    "greedy_on_host",
    "likeliest",
    "most_rows",
    "pick_on_host",
    "read_prompt",
    "require_number",
    "sample",
    "search_beams",
    "split_window",
    "spoken",
]
