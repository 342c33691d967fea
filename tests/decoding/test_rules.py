"""Our rules against Hugging Face's logits processors."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)

from ttscribe.decoding import RepetitionRules, Rules, TimestampGrammar
from ttscribe.errors import ModelError
from ttscribe.types import FloatArray

# A vocabulary in miniature: 0-39 text, 40 end of text, 41-48 special, 49 <|notimestamps|>, 50-99 times.
END, NO_TIMESTAMPS, BEGIN, VOCABULARY, INITIAL = 40, 49, 50, 100, 10
GRAMMAR = TimestampGrammar(BEGIN, END, NO_TIMESTAMPS, INITIAL)
RULES = Rules.of((1, 2), (3, END), GRAMMAR)


def hugging_face(logits: FloatArray, sampled: list[int]) -> FloatArray:
    prompt = [45, 46]
    config = SimpleNamespace(
        no_timestamps_token_id=NO_TIMESTAMPS, eos_token_id=END, bos_token_id=END, max_initial_timestamp_index=INITIAL
    )
    processor = WhisperTimeStampLogitsProcessor(config, begin_index=len(prompt))
    logits = logits.copy()
    logits[[1, 2]] = -np.inf
    if not sampled:
        logits[[3, END]] = -np.inf
    return processor(torch.tensor([prompt + sampled]), torch.from_numpy(logits[None]))[0].numpy()


def random_logits(seed: int, scale: float = 1) -> FloatArray:
    return (scale * np.random.default_rng(seed).standard_normal(VOCABULARY)).astype(np.float32)


@given(
    sampled=st.lists(st.one_of(st.integers(0, 39), st.integers(BEGIN, VOCABULARY - 1)), max_size=8),
    seed=st.integers(0, 2**32),
    scale=st.floats(0.1, 20),
)
@settings(max_examples=300, deadline=None)
def test_rules_forbid_what_hugging_face_forbids(sampled, seed, scale):
    logits = random_logits(seed, scale)
    ours, theirs = RULES.apply(logits, sampled), hugging_face(logits, sampled)
    assert np.array_equal(ours, theirs)


def test_rules_leave_the_models_logits_alone():
    logits = np.zeros(VOCABULARY, np.float32)
    RULES.apply(logits, [])
    assert not logits.any()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_any_window_sampled_by_the_rules_is_well_formed(seed):
    """However the model errs, times never decrease and every pair but the last is closed before the next opens."""
    generator = np.random.default_rng(seed)
    sampled: list[int] = []
    while len(sampled) < 40:
        logits = 3 * generator.standard_normal(VOCABULARY, np.float32)
        token = int(RULES.apply(logits, sampled).argmax())
        if token == END:
            break
        sampled.append(token)
    times = [token for token in sampled if token >= BEGIN]
    assert times == sorted(times)
    assert sampled[0] >= BEGIN
    assert sampled[0] <= BEGIN + INITIAL


def test_without_timestamps_only_suppression_holds():
    rules = Rules.of((1,), (3,), None)
    logits = np.zeros(VOCABULARY, np.float32)
    assert np.flatnonzero(np.isinf(rules.apply(logits, []))).tolist() == [1, 3]
    assert np.flatnonzero(np.isinf(rules.apply(logits, [7]))).tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_logits_are_an_error_and_not_a_transcript(value):
    with pytest.raises(ModelError, match="not a number"):
        Rules.of((), (), None).pick(np.full(VOCABULARY, value, np.float32), [])


def test_the_likeliest_allowed_token_is_picked_with_its_probability_among_the_allowed():
    logits = np.array([9.0, 1.0, 2.0, 3.0], np.float32)
    token, logprob = Rules.of((0,), (3,), None).pick(logits, [])
    assert token == 2
    assert logprob == pytest.approx(-np.log1p(np.exp(-1)))


PENALTIES = RepetitionRules(1.3, 3, END)
SAMPLED = st.lists(st.one_of(st.integers(0, 4), st.integers(BEGIN, VOCABULARY - 1)), max_size=12)


@given(sampled=SAMPLED, seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_repetition_is_made_harder_as_hugging_face_does_among_text(sampled, seed):
    """Times say nothing and are left alone: they may come again, and do not part what is said twice."""
    logits = random_logits(seed)
    ours = Rules.of((), (), None, PENALTIES).apply(logits, sampled)
    text = torch.tensor([[token for token in sampled if token < END]], dtype=torch.int64)
    theirs = torch.from_numpy(logits[None].copy())
    if text.numel():
        theirs = RepetitionPenaltyLogitsProcessor(PENALTIES.penalty)(text, theirs)
    theirs = NoRepeatNGramLogitsProcessor(PENALTIES.ngram_size)(text, theirs)
    assert np.array_equal(ours, theirs[0].numpy())


def test_tokens_are_drawn_as_often_as_the_temperature_says():
    logits, generator = np.array([2.0, 1.0, 0.0, 9.0], np.float32), np.random.default_rng(0)
    rules = Rules.of((3,), (), None)
    drawn = [rules.sample(logits, [], 0.5, generator) for _ in range(400)]
    often = np.bincount([token for token, _ in drawn], minlength=4) / len(drawn)
    allowed = torch.from_numpy(logits[:3])
    assert often.tolist() == pytest.approx([*(allowed / 0.5).softmax(0).tolist(), 0], abs=0.07)
    assert dict(drawn) == pytest.approx(dict(enumerate(allowed.log_softmax(0).tolist())))


def test_what_a_device_may_apply_are_its_suppressed_tokens_and_the_grammar():
    assert Rules.of((2, 1), (7,), None).only_suppress((1, 2))
    assert not Rules.of((1, 2), (), None).only_suppress((1,))
    assert Rules.of((1,), (), GRAMMAR).only_suppress((1,))
    assert not Rules.of((1,), (), None, PENALTIES).only_suppress((1,))
