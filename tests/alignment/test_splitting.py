"""Tokens to words: real vocabularies, texts of several scripts, and ids that make no text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscribe.alignment.splitting import split, with_punctuation


def words(checkpoint, text, language="en"):
    tokenizer = checkpoint.tokenizer
    return [word for word, _ in with_punctuation(split(tokenizer, tokenizer.encode(text), language))]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        (" It was the best, of times.", "en", [" It", " was", " the", " best,", " of", " times."]),
        (' He said: "Go, now!" twice', "en", [" He", " said:", ' "Go,', ' now!"', " twice"]),
        (" ¿Qué (de verdad)?", "es", [" ¿Qué", " (de", " verdad)?"]),
        (" Straßenbahnhaltestelle größer", "de", [" Straßenbahnhaltestelle", " größer"]),
        ("你好，世界。", "zh", ["你好，", "世界。"]),
        (" नमस्ते दुनिया", "hi", [" नमस्ते", " दुनिया"]),
        ("", "en", []),
    ],
)
def test_words_have_their_punctuation_and_the_space_before_them(base, text, language, expected):
    assert words(base, text, language) == expected


def test_which_signs_belong_to_a_word_can_be_chosen(base):
    tokenizer = base.tokenizer
    pieces = split(tokenizer, tokenizer.encode(" Go (now), she said."), "en")
    assert [word for word, _ in with_punctuation(pieces, "(", "),")] == [" Go", " (now),", " she", " said", "."]


def test_a_word_is_said_when_its_letters_are_and_not_the_signs_after_it(base):
    tokenizer = base.tokenizer
    pieces = split(tokenizer, tokenizer.encode(' He (the "other") left.'), "en")
    spoken = [pieces[index].text.strip() for _, index in with_punctuation(pieces)]
    assert spoken == ["He", "(the", '"other', "left"]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 51_000), max_size=12), st.sampled_from(["en", "ja"]))
def test_nothing_is_lost(base, ids, language):
    """Of any tokens, special ones and halves of characters among them."""
    tokenizer = base.tokenizer
    pieces = split(tokenizer, ids, language)
    whole = tokenizer.decode(ids)
    assert "".join(piece.text for piece in pieces) == whole
    assert [token for piece in pieces for token in piece.tokens] == [token for token in ids if token < tokenizer.eot]
    assert "".join(word for word, _ in with_punctuation(pieces)) == whole
