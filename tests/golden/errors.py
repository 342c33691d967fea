"""Word errors as Whisper's authors count them."""

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Wrong words, and all words of what is said, by Whisper's English normaliser."""
    normalise = EnglishTextNormalizer()
    counted = jiwer.process_words(normalise(said), normalise(heard))
    wrong = counted.substitutions + counted.deletions
    return wrong + counted.insertions, counted.hits + wrong
