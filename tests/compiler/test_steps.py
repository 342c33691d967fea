"""Steps that pick by themselves, in plain PyTorch, beside the host's rules, which pick from the same model's logits."""

from itertools import pairwise

import pytest
import torch

from compiler.building import SUPPRESSED, TINY
from ttscribe.compiler.steps import GreedyStep, TimedStep, timestamp_ids
from ttscribe.decoding import Rules, TimestampGrammar
from ttscribe.whisper.config import ENGLISH_VOCABULARY, MULTILINGUAL_VOCABULARY, V3_VOCABULARY
from ttscribe.whisper.model import DecoderState, KeyValue, random_model

IDS = timestamp_ids(TINY.vocab_size)
GRAMMAR = TimestampGrammar(IDS.begin, IDS.end_of_text, IDS.no_timestamps, 10)
TOKENS = 40


def model_of(seed):
    """Random, with a vocabulary that is far enough from itself to say one thing and then another."""
    model = random_model(TINY, seed=seed)
    model.decoder.embed_positions.weight.mul_(40)
    return model


def state_of(model, seed):
    generator = torch.Generator().manual_seed(seed)
    return model.new_state(model.cross_kv(torch.randn(1, TINY.max_source_positions, TINY.d_model, generator=generator)))


@torch.no_grad()
def by_host(model, rules, first, seed):
    state, tokens, logprobs = state_of(model, seed), [*first], []
    while len(tokens) < TOKENS and tokens[-1] != IDS.end_of_text:
        logits = model.decode_step(torch.tensor([tokens[-1]]), torch.tensor([len(tokens)]), state)[0]
        token, logprob = rules.pick(logits.numpy(), tokens)
        tokens.append(token)
        logprobs.append(logprob)
    return tokens, logprobs


@torch.no_grad()
def by_itself(step, given, first, seed):
    token, position, state = torch.tensor([first[-1]]), torch.tensor([len(first)]), state_of(step.model, seed)
    tokens, logprobs = [*first], []
    while len(tokens) < TOKENS and tokens[-1] != IDS.end_of_text:
        following, probability = step(token, position, *given, state)
        tokens.append(following.item())
        logprobs.append(probability.log().item())
        assert (token.item(), position.item()) == (tokens[-1], len(tokens))
    return tokens, logprobs


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("first", [(IDS.begin + 3,), (IDS.begin + 3, 7), (IDS.begin, 7, IDS.begin + 2)])
def test_the_grammar_of_timestamps_is_the_hosts(seed, first):
    model = model_of(seed)
    earliest, opens, closes = (torch.tensor([each]) for each in GRAMMAR.standing(first))
    expected, logprobs = by_host(model, Rules.of(SUPPRESSED, (), GRAMMAR), first, seed)
    tokens, ours = by_itself(TimedStep(model, SUPPRESSED), (earliest, opens, closes), first, seed)
    assert tokens == expected
    assert ours == pytest.approx(logprobs, abs=1e-4)
    if tokens[-1] != IDS.end_of_text:
        assert tuple(each.item() for each in (earliest, opens, closes)) == GRAMMAR.standing(tokens)


def test_the_models_say_text_and_timestamps_in_many_ways():
    """What the test before compares: text, pairs that are opened and closed, the end after a time."""
    said = [by_host(model_of(seed), Rules.of(SUPPRESSED, (), GRAMMAR), (IDS.begin + 3,), seed)[0] for seed in range(12)]
    pairs = {
        tuple("time" if token >= IDS.begin else "end" if token == IDS.end_of_text else "text" for token in pair)
        for tokens in said
        for pair in pairwise(tokens)
    }
    assert pairs >= {("text", "text"), ("text", "time"), ("time", "time"), ("time", "text"), ("time", "end")}


@pytest.mark.parametrize("seed", range(3))
def test_without_timestamps_the_likeliest_is_taken_that_is_not_suppressed(seed):
    model = model_of(seed)
    expected, logprobs = by_host(model, Rules.of(SUPPRESSED, (), None), (7,), seed)
    tokens, ours = by_itself(GreedyStep(model, SUPPRESSED), (), (7,), seed)
    assert tokens == expected
    assert ours == pytest.approx(logprobs, abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("timed", [True, False])
def test_several_rows_are_stepped_as_each_alone(timed):
    """Windows that differ, at different positions, of which some end before others."""
    model, begun = model_of(4), [(IDS.begin + 3,), (IDS.begin + 3, 7), (IDS.begin, 7, IDS.begin + 2), (IDS.begin, 9)]
    step = (TimedStep if timed else GreedyStep)(model, SUPPRESSED)
    states = [state_of(model, seed) for seed in range(len(begun))]
    joined = DecoderState(
        *(
            [KeyValue(*(torch.cat(parts) for parts in zip(*layer, strict=True))) for layer in zip(*pairs, strict=True)]
            for pairs in zip(*states, strict=True)
        )
    )

    def given(rows):
        standing = zip(*(GRAMMAR.standing(row) for row in rows), strict=True)
        known = [torch.tensor([*each]) for each in standing] if timed else []
        return [torch.tensor([row[-1] for row in rows]), torch.tensor([len(row) for row in rows]), *known]

    alone, together = [given([row]) for row in begun], given(begun)
    for _ in range(20):
        expected = [step(*each, state) for each, state in zip(alone, states, strict=True)]
        tokens, probabilities = step(*together, joined)
        assert tokens.tolist() == [token.item() for token, _ in expected]
        torch.testing.assert_close(probabilities, torch.cat([each for _, each in expected]), atol=1e-5, rtol=1e-4)
        for ours, theirs in zip(together, zip(*alone, strict=True), strict=True):
            assert torch.equal(ours, torch.cat(theirs))


@pytest.mark.parametrize(
    ("size", "begin", "end"),
    [
        (ENGLISH_VOCABULARY, 50363, 50256),
        (MULTILINGUAL_VOCABULARY, 50364, 50257),
        (V3_VOCABULARY, 50365, 50257),
    ],
)
def test_timestamps_are_where_openai_has_them(size, begin, end):
    ids = timestamp_ids(size)
    assert (ids.begin, ids.end_of_text, ids.no_timestamps) == (begin, end, begin - 1)
    assert size - ids.begin == 1501
