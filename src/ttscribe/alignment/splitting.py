"""Tokens to words, and which punctuation belongs to which word."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ttscribe.options import CLOSING, OPENING
from ttscribe.whisper.tokenizer import Tokenizer

_WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that are written without spaces between words, as OpenAI's whisper lists them."""

_SIGNS = frozenset(string.punctuation)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive tokens and their text: a word, a character or a sign."""

    text: str
    tokens: tuple[int, ...]

    def __add__(self, other: Piece) -> Piece:
        return Piece(self.text + other.text, self.tokens + other.tokens)


def split(tokenizer: Tokenizer, tokens: Sequence[int], language: str) -> list[Piece]:
    """Text tokens as words with the spaces before them, signs apart; as characters where words have no spaces."""
    characters = [Piece(*run) for run in tokenizer.characters(tokens)]
    return characters if language in _WITHOUT_SPACES else _by_spaces(characters)


def with_punctuation(pieces: Sequence[Piece], opening: str = OPENING, closing: str = CLOSING) -> list[tuple[str, int]]:
    """Texts of words with the signs that belong to them, each with the index of the piece that is spoken.

    ``opening`` signs after a space belong to the word that follows, ``closing`` ones to the word before. No text is
    lost.
    """
    joined: list[tuple[str, int]] = []
    before = ""
    for index, piece in enumerate(pieces):
        if piece.text[:1].isspace() and {*opening}.issuperset(piece.text.strip()) and index + 1 < len(pieces):
            before += piece.text
        elif joined and not before and _closes(piece.text, joined[-1][0], closing):
            joined[-1] = (joined[-1][0] + piece.text, joined[-1][1])
        else:
            joined.append((before + piece.text, index))
            before = ""
    return joined


def _closes(text: str, before: str, signs: str) -> bool:
    return not text.strip() or ({*signs}.issuperset(text) and not before.endswith(" "))


def _by_spaces(characters: Iterable[Piece]) -> list[Piece]:
    words: list[Piece] = []
    for piece in characters:
        if not words or piece.text.startswith(" ") or _SIGNS.issuperset(piece.text.strip()):
            words.append(piece)
        else:
            words[-1] += piece
    return words
