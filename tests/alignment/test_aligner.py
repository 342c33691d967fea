"""What holds of words whatever attention and the audio say."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscribe.alignment.aligner import Aligner
from ttscribe.alignment.corrections import Timing
from ttscribe.decoding import TimedTokens
from ttscribe.whisper.model import random_model

TEXTS = (" It was", ' "The (best) of times."', " Then", " 3.5 -- ", " worst!")


@st.composite
def drawn_windows(draw):
    """Segments of a window, boundaries of their pieces in any order that warping may give, and a loudness."""
    texts = draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5))
    frames = draw(st.integers(1, 3000))
    times = st.floats(0, frames / 100)
    segments = [(text, *sorted((draw(times), draw(times)))) for text in texts]
    boundaries = sorted(draw(st.lists(times, min_size=60, max_size=60)))
    loudness = np.random.default_rng(draw(st.integers(0, 99))).random(draw(st.integers(1, 40))) < 0.6
    mel = np.tile(np.repeat(loudness, frames // len(loudness) + 1)[:frames], (80, 1)).astype(np.float32)
    return segments, boundaries, mel


@settings(deadline=None)
@given(drawn_windows())
def test_words_are_in_order_and_within_the_window(tiny_en, drawn):
    segments, boundaries, mel = drawn
    tokenizer = tiny_en.tokenizer
    aligner = Aligner(tiny_en)

    def timings(pieces, _start, _states, frames):
        assert frames == mel.shape[1]
        return [Timing(piece.text, *times, 0.5) for piece, times in zip(pieces, pairwise(boundaries), strict=False)]

    aligner._timings = timings
    tokens = [TimedTokens(start, end, tuple(tokenizer.encode(text))) for text, start, end in segments]
    found = aligner.words(tokens, np.empty(0, np.float32), mel, "en")
    for words, (text, _, _) in zip(found, segments, strict=True):
        assert "".join(word.text for word in words) == text
    flat = [word for words in found for word in words]
    assert flat[0].start >= 0
    assert all(word.start <= word.end for word in flat)
    assert all(word.end <= after.start for word, after in pairwise(flat))
    assert flat[-1].end <= mel.shape[1] / 100


@pytest.mark.parametrize("segments", [[], [TimedTokens(0.0, 1.0, (50363, 50413))]], ids=["none", "without text"])
def test_no_text_has_no_words(tiny_en, segments):
    aligner = Aligner(tiny_en)
    assert aligner.words(segments, np.zeros((1500, 384), np.float32), np.zeros((80, 100), np.float32), "en") == [
        () for _ in segments
    ]


def test_a_text_that_fills_the_decoder_is_aligned_to_its_end(tiny_en):
    """448 tokens, the prompt's among them: no room is left for the end of text. Of a small model, on nothing."""
    sides = [f"{side}_{what}" for side in ("encoder", "decoder") for what in ("layers", "attention_heads")]
    config = replace(tiny_en.config, d_model=64, **dict.fromkeys(sides, 1))
    small = replace(tiny_en, config=config, build=partial(random_model, config))
    start = tiny_en.tokenizer.prompt("en", timestamps=False)
    tokens = (tiny_en.tokenizer.encode(" again") * 448)[: 448 - len(start)]
    states = np.random.default_rng(0).standard_normal((1500, 64), np.float32)
    segment = TimedTokens(0.0, 10.0, tuple(tokens))
    (words,) = Aligner(small).words([segment], states, np.zeros((80, 1000), np.float32), "en")
    assert [word.text for word in words] == [" again"] * len(tokens)
    assert all(word.start <= word.end <= after.start for word, after in pairwise(words))
    assert words[-1].end <= 10
