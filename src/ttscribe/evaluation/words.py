"""Word errors as they are counted for Whisper: both texts through its normaliser first."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache
from typing import Any

from ttscribe.errors import OptionError, with_extra

# Written without spaces between words: each character counts as a word, as in the Whisper paper.
_BY_CHARACTER = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


def require_packages() -> None:
    """Raise OptionError where what counts words is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("jiwer", "whisper_normalizer")):
        raise OptionError(f"word error rates need jiwer and whisper-normalizer: {with_extra('accuracy')}")


def count_errors(reference: str, text: str, language: str = "en") -> tuple[int, int]:
    """Words of the reference, and words of ``text`` that are substituted, left out or put in."""
    import jiwer

    normalise = _normaliser(language)
    said, heard = normalise(reference), normalise(text)
    if not said.strip():
        return 0, len(heard.split())
    alignment = jiwer.process_words(said, heard)
    wrong = alignment.substitutions + alignment.deletions
    return alignment.hits + wrong, wrong + alignment.insertions


@cache
def _normaliser(language: str) -> Any:
    with warnings.catch_warnings():
        # A regular expression in a docstring of theirs, told of once where it is compiled.
        warnings.simplefilter("ignore", SyntaxWarning)
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    return EnglishTextNormalizer() if language == "en" else BasicTextNormalizer(split_letters=language in _BY_CHARACTER)
