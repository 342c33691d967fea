"""Texts of a window: the likeliest at every step with real weights, beams and samples on models that are known."""

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding.stand_in_runner import StandIn
from ttscribe.decoding import Prompt, Rules, decode_greedily, read_prompt, sample, search_beams
from ttscribe.decoding.search import read_prompts
from ttscribe.devices import make_runner

# Of the stand-ins: 0-3 text, 4 the end, 5 no speech, 6 the start of a transcript.
END, NO_SPEECH, START, VOCABULARY = 4, 5, 6, 7
PROMPT = Prompt((START,), 0, END, NO_SPEECH)
RULES = Rules.of((NO_SPEECH, START), (), None)


@pytest.fixture(scope="module")
def spoken(tiny_en):
    """The prompt and the rules of tiny.en without times."""
    tokenizer = tiny_en.tokenizer
    tokens = tokenizer.prompt("en", "transcribe", timestamps=False)
    prompt = Prompt(tokens, tokens.index(tokenizer.sot), tokenizer.eot, tokenizer.no_speech)
    return prompt, Rules.of(tiny_en.suppress_tokens, tiny_en.begin_suppress_tokens, None)


def test_windows_of_one_batch_are_decoded_as_each_alone(tiny_en, windows, spoken):
    runner, tokenizer = make_runner("cpu", tiny_en.model), tiny_en.tokenizer
    together = decode_greedily(runner, runner.start(runner.encode(windows)), *spoken, rows=2)
    assert len(together) == 2
    for ours, mel in zip(together, windows, strict=True):
        (alone,) = decode_greedily(runner, runner.start(runner.encode(mel[None])), *spoken)
        assert ours.tokens == alone.tokens
        assert tokenizer.eot not in ours.tokens
        assert ours.avg_logprob == pytest.approx(alone.avg_logprob, abs=1e-3)
        assert ours.no_speech_prob == pytest.approx(alone.no_speech_prob, abs=1e-3)
    assert "Fail again. Fail better." in tokenizer.decode(together[0].tokens)
    assert "It was the best of times" in tokenizer.decode(together[1].tokens)


def test_beams_find_a_text_that_is_at_least_as_likely(tiny_en, windows, spoken):
    runner, tokenizer = make_runner("cpu", tiny_en.model), tiny_en.tokenizer
    states = runner.encode(windows[:1])
    (likeliest,) = decode_greedily(runner, runner.start(states), *spoken)
    one, three = (
        search_beams(runner, read_prompt(runner, runner.start(states), spoken[0]), *spoken, beam_size=size)[0]
        for size in (1, 3)
    )
    assert one.tokens == likeliest.tokens
    assert one.avg_logprob == pytest.approx(likeliest.avg_logprob, abs=1e-4)
    assert three.avg_logprob >= likeliest.avg_logprob - 1e-4
    assert "Fail again. Fail better." in tokenizer.decode(three.tokens)


def random_model(seed, scale):
    """Logits that depend on all tokens before, the same in every run."""

    @functools.cache
    def logits_after(tokens):
        generator = np.random.default_rng(hash((seed, *tokens)) % 2**31)
        return np.float32(scale) * generator.standard_normal(VOCABULARY, np.float32)

    return lambda tokens: logits_after(tuple(tokens))


def beams(runner, **options):
    (found,) = search_beams(runner, read_prompt(runner, runner.start(), PROMPT), PROMPT, RULES, **options)
    return found


def every_text(logits_of, length):
    """Each text of up to ``length`` tokens with its log probability: what is cut short at ``length`` has no end."""

    @functools.cache
    def logprobs(text):
        return RULES.logprobs(logits_of([START, *text]), text).tolist()

    for count in range(length + 1):
        for text in itertools.product(range(4), repeat=count):
            whole = [*text, END] if count < length else [*text]
            yield text, sum(logprobs(tuple(whole[:at]))[token] for at, token in enumerate(whole))


@given(seed=st.integers(0, 10_000), length_penalty=st.sampled_from([None, 0.0, 0.6, 1.0]))
@settings(max_examples=6, deadline=None)
def test_with_beams_for_every_text_the_best_of_all_is_found(seed, length_penalty):
    """Ranked as OpenAI ranks: by the mean over the tokens, or with Google's penalty for length."""
    logits_of, length = random_model(seed, 1.0), 3
    found = beams(StandIn(logits_of, positions=1 + length), beam_size=200, patience=1.0, length_penalty=length_penalty)

    def rank(text, total):
        size = max(1, len(text))
        return total / (size if length_penalty is None else ((5 + size) / 6) ** length_penalty)

    best, total = max(every_text(logits_of, length), key=lambda each: rank(*each))
    assert found.tokens == best
    assert found.avg_logprob == pytest.approx(total / (len(best) + (len(best) < length)), abs=1e-5)


def test_patience_goes_on_for_more_texts():
    """The end is likely at once, but a longer text has the better mean."""

    def logits_of(tokens):
        probabilities = np.full(VOCABULARY, 1e-9, np.float32)
        if len(tokens) == 1:
            probabilities[[END, 0, 1]] = 0.5, 0.4, 0.1
        elif len(tokens) == 2:
            probabilities[0] = 1.0
        else:
            probabilities[END] = 1.0
        return np.log(probabilities)

    impatient, patient = (StandIn(logits_of) for _ in range(2))
    assert beams(impatient, beam_size=2, patience=0.5).tokens == ()
    assert beams(patient, beam_size=2, patience=2.0).tokens == (0, 0)
    assert patient.steps > impatient.steps


def test_of_texts_that_are_as_likely_the_first_is_taken():
    def logits_of(tokens):
        probabilities = np.full(VOCABULARY, 1e-9, np.float32)
        if len(tokens) == 1:
            probabilities[[2, 1]] = 0.5
        else:
            probabilities[END] = 1.0
        return np.log(probabilities)

    assert beams(StandIn(logits_of), beam_size=2).tokens == (1,)


def test_a_search_that_finds_no_end_stops_with_the_cache():
    never = np.array([0.0, -1.0, -2.0, -3.0, -math.inf, 0.0, 0.0], np.float32)
    assert beams(StandIn(lambda tokens: never, positions=9), beam_size=2).tokens == (0,) * 8


def sampled(runner, temperature, seed=0, **options):
    generator = np.random.default_rng(seed)
    return sample(runner, runner.start, PROMPT, RULES, temperature, generator, **options)


def test_the_same_seed_draws_the_same_text_and_another_another():
    runner = StandIn(random_model(1, 1.0), positions=15)
    texts = [sampled(runner, 1.0, seed, count=1).tokens for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len({*texts}) > 2


def endless(tokens):
    return np.array([0.0, 1.0, 2.0, 3.0, -math.inf, 0.0, 0.0], np.float32)


def test_the_likeliest_of_the_texts_drawn_is_taken():
    runner = StandIn(endless, positions=8)
    one, many = (sampled(runner, 1.0, count=count) for count in (1, 20))
    assert many.avg_logprob > one.avg_logprob
    assert many.temperature == 1.0


def test_a_low_temperature_draws_what_is_likeliest():
    runner = StandIn(random_model(7, 4.0), positions=10)
    (likeliest,) = decode_greedily(runner, runner.start(), PROMPT, RULES)
    cold = sampled(runner, 0.01, count=2)
    assert cold.tokens == likeliest.tokens
    # Of the token as the model gives it, not as it was drawn.
    assert cold.avg_logprob == pytest.approx(likeliest.avg_logprob, abs=1e-5)


def test_where_a_device_has_one_row_texts_are_drawn_one_after_another():
    one_by_one = StandIn(endless, positions=8, max_decodings=1)
    one_by_one.reorder = None
    assert len(sampled(one_by_one, 1.0, count=3).tokens) == 7
    # Each text's first token is the prompt's.
    assert one_by_one.steps == 3 * 6


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 4),
    patience=st.sampled_from([0.5, 1.0, 2.0]),
    begins=st.lists(st.integers(0, 3), min_size=2, max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_windows_that_are_searched_side_by_side_have_the_texts_that_each_has_alone(seed, size, patience, begins):
    runner = StandIn(random_model(seed, 2.0), positions=12)
    prompts = [Prompt((first, START), 1, END, NO_SPEECH) for first in begins]

    def search(prompts):
        reading = read_prompts(runner, runner.start(), prompts)
        return search_beams(runner, reading, prompts[0], RULES, beam_size=size, patience=patience)

    assert search(prompts) == [found for prompt in prompts for found in search([prompt])]


def test_what_is_given_begins_the_text_and_has_no_say_in_its_probability():
    logits_of = random_model(11, 3.0)
    runner = StandIn(logits_of, positions=9)
    prompt = Prompt((START, 2, 3), 0, END, NO_SPEECH, given=(2, 3))
    (found,) = decode_greedily(runner, runner.start(), prompt, RULES)
    assert found.tokens[:2] == (2, 3)
    so_far, logprobs = [START, 2, 3], []
    for token in [*found.tokens[2:], *([END] if len(found.tokens) < 8 else [])]:
        logprobs.append(RULES.logprobs(logits_of(so_far), so_far[1:])[token].item())
        so_far.append(token)
    assert found.avg_logprob == pytest.approx(sum(logprobs) / len(logprobs), abs=1e-5)
    (with_beams,) = search_beams(runner, read_prompt(runner, runner.start(), prompt), prompt, RULES, beam_size=1)
    assert with_beams.tokens == found.tokens
