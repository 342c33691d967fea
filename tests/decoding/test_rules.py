"""Our rules against Hugging Face's logits processors."""

from types import SimpleNamespace

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

# A vocabulary in miniature: 0-39 text, 40 end of text, 41-48 special, 49 <|notimestamps|>, 50-99 times.
END, NO_TIMESTAMPS, BEGIN, VOCABULARY, INITIAL = 40, 49, 50, 100, 10
GRAMMAR = TimestampGrammar(BEGIN, END, NO_TIMESTAMPS, INITIAL)
RULES = Rules.of((1, 2), (3, END), GRAMMAR)


def hugging_face(logits: torch.Tensor, sampled: list[int]) -> torch.Tensor:
    prompt = [45, 46]
    config = SimpleNamespace(
        no_timestamps_token_id=NO_TIMESTAMPS, eos_token_id=END, bos_token_id=END, max_initial_timestamp_index=INITIAL
    )
    processor = WhisperTimeStampLogitsProcessor(config, begin_index=len(prompt))
    logits = logits.clone()
    logits[[1, 2]] = -torch.inf
    if not sampled:
        logits[[3, END]] = -torch.inf
    return processor(torch.tensor([prompt + sampled]), logits[None])[0]


@given(
    sampled=st.lists(st.one_of(st.integers(0, 39), st.integers(BEGIN, VOCABULARY - 1)), max_size=8),
    seed=st.integers(0, 2**32),
    scale=st.floats(0.1, 20),
)
@settings(max_examples=300, deadline=None)
def test_rules_forbid_what_hugging_face_forbids(sampled, seed, scale):
    logits = scale * torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed))
    ours, theirs = RULES.apply(logits, sampled), hugging_face(logits, sampled)
    assert torch.equal(ours, theirs)


def test_rules_leave_the_models_logits_alone():
    logits = torch.zeros(VOCABULARY)
    RULES.apply(logits, [])
    assert torch.equal(logits, torch.zeros(VOCABULARY))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_any_window_sampled_by_the_rules_is_well_formed(seed):
    """However the model errs, times never decrease and every pair but the last is closed before the next opens."""
    generator = torch.Generator().manual_seed(seed)
    sampled: list[int] = []
    while len(sampled) < 40:
        token = int(RULES.apply(3 * torch.randn(VOCABULARY, generator=generator), sampled).argmax())
        if token == END:
            break
        sampled.append(token)
    times = [token for token in sampled if token >= BEGIN]
    assert times == sorted(times)
    assert sampled[0] >= BEGIN
    assert sampled[0] <= BEGIN + INITIAL


def test_without_timestamps_only_suppression_holds():
    rules = Rules.of((1,), (3,), None)
    assert rules.apply(torch.zeros(VOCABULARY), []).isinf().nonzero().flatten().tolist() == [1, 3]
    assert rules.apply(torch.zeros(VOCABULARY), [7]).isinf().nonzero().flatten().tolist() == [1]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_logits_are_an_error_and_not_a_transcript(value):
    with pytest.raises(ModelError, match="not a number"):
        Rules.of((), (), None).pick(torch.full((VOCABULARY,), value), [])


def test_the_likeliest_allowed_token_is_picked_with_its_probability_among_the_allowed():
    logits = torch.tensor([9.0, 1.0, 2.0, 3.0])
    token, logprob = Rules.of((0,), (3,), None).pick(logits, [])
    assert token == 2
    assert logprob == pytest.approx(float(logits[1:3].log_softmax(0)[1]))


PENALTIES = RepetitionRules(1.3, 3, END)
SAMPLED = st.lists(st.one_of(st.integers(0, 4), st.integers(BEGIN, VOCABULARY - 1)), max_size=12)


@given(sampled=SAMPLED, seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_repetition_is_made_harder_as_hugging_face_does_among_text(sampled, seed):
    """Times say nothing and are left alone: they may come again, and do not part what is said twice."""
    logits = torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed))
    ours = Rules.of((), (), None, PENALTIES).apply(logits, sampled)
    text = torch.tensor([[token for token in sampled if token < END]], dtype=torch.int64)
    theirs = logits[None].clone()
    if text.numel():
        theirs = RepetitionPenaltyLogitsProcessor(PENALTIES.penalty)(text, theirs)
    theirs = NoRepeatNGramLogitsProcessor(PENALTIES.ngram_size)(text, theirs)
    assert torch.equal(ours, theirs[0])


def test_tokens_are_drawn_as_often_as_the_temperature_says():
    logits, generator = torch.tensor([2.0, 1.0, 0.0, 9.0]), torch.Generator().manual_seed(0)
    rules = Rules.of((3,), (), None)
    drawn = [rules.sample(logits, [], 0.5, generator) for _ in range(400)]
    often = torch.bincount(torch.tensor([token for token, _ in drawn]), minlength=4) / len(drawn)
    torch.testing.assert_close(often[:3], (logits[:3] / 0.5).softmax(0), atol=0.07, rtol=0)
    assert dict(drawn) == pytest.approx({token: float(logits[:3].log_softmax(0)[token]) for token in range(3)})


def test_what_a_device_may_apply_are_its_suppressed_tokens_and_the_grammar():
    assert Rules.of((2, 1), (7,), None).only_suppress((1, 2))
    assert not Rules.of((1, 2), (), None).only_suppress((1,))
    assert Rules.of((1,), (), GRAMMAR).only_suppress((1,))
    assert not Rules.of((1,), (), None, PENALTIES).only_suppress((1,))
