"""Texts that repeat themselves: how much, and where the repetition begins.

The constants were chosen on 140 windows of tiny.en and base: noise, tones, hum and music, on which Whisper loops, and
14 sentences that are really said again and again.
"""

import zlib
from collections.abc import Sequence
from difflib import SequenceMatcher

_LONGEST_UNIT = 64
"""Tokens of what a loop repeats; the longest seen has 26."""

_TIMED, _UNTIMED = 100, 224
"""Tokens of a loop, where the model gives times and where it was asked for none.

Whisper gives a time at every clause. Of sentences really repeated for a minute no clause had more than 24 tokens, and
no window more than 99 of text; loops go on to the end of the cache, 445.
"""

_REPEATS = 5
"""Times that a loop's unit comes at least: what is counted in tokens is short in languages with many tokens a word."""


def compression_ratio(text: str) -> float:
    """Bytes of ``text`` over those that zlib makes of it, as OpenAI measures repetition: about 1 to 2 for prose."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def loop_start(tokens: Sequence[int], timestamp_begin: int, *, timed: bool) -> int | None:
    """Index after the first unit of the loop that ``tokens`` end in; None where they end in none.

    A loop is the same tokens again and again without a time among them, for longer than anybody says them; whether
    times are to be expected is ``timed``. Times from ``timestamp_begin`` on that follow it do not count.
    """
    end = len(tokens)
    while end and tokens[end - 1] >= timestamp_begin:
        end -= 1
    start = max((at + 1 for at in range(end) if tokens[at] >= timestamp_begin), default=0)
    text = tokens[start:end]
    if len(text) < _TIMED:
        return None
    for unit in range(1, _LONGEST_UNIT + 1):
        length = _repeated(text, unit)
        if length >= max(_TIMED if timed else _UNTIMED, _REPEATS * unit):
            return end - length + unit
    return None


def similarity(text: str, other: str) -> float:
    """From 0 to 1: how much of both texts is in both, in order; letters and digits alone count, of any case."""
    # Also for scripts that put no space between words.
    return SequenceMatcher(None, _letters(text), _letters(other), autojunk=False).ratio()


def _repeated(text: Sequence[int], unit: int) -> int:
    """Length of the tail of ``text`` in which each token is that of ``unit`` tokens before."""
    length = unit
    while length < len(text) and text[-1 - length] == text[-1 - length + unit]:
        length += 1
    return length


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())
