"""The kernels' pick beside that of the rules in PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscribe.decoding import RepetitionRules, Rules, TimestampGrammar
from ttscribe.devices.cpu import kernels
from ttscribe.devices.cpu.picking import Picker
from ttscribe.errors import ModelError

pytestmark = pytest.mark.skipif(kernels.why_not() is not None, reason=f"no int8: {kernels.why_not()}")

# As many as there are sums of sixteen, of blocks of sums, and some besides.
END, NO_TIMESTAMPS, BEGIN, VOCABULARY = 1000, 1018, 1019, 2520
GRAMMAR = TimestampGrammar(BEGIN, END, NO_TIMESTAMPS, 50)


each_library = pytest.mark.parametrize("library", kernels.NEEDS, indirect=True)
TOKEN = st.one_of(st.integers(0, END - 1), st.integers(BEGIN, VOCABULARY - 1))
SETTINGS = {
    "sampled": st.lists(TOKEN, min_size=1, max_size=8),
    "seed": st.integers(0, 2**32),
    "scale": st.floats(0.1, 20),
    "times": st.floats(-20, 20),
    "grammar": st.sampled_from([GRAMMAR, None]),
    "repetition": st.sampled_from([None, RepetitionRules(1.3, 2, END)]),
}


@each_library
def test_each_library_picks_what_the_rules_pick(library):
    @given(**SETTINGS)
    @settings(deadline=None)
    def picks(sampled, seed, scale, times, grammar, repetition):
        logits = np.random.default_rng(seed).standard_normal(VOCABULARY, np.float32) * np.float32(scale)
        logits[BEGIN:] += times
        rules = Rules.of((0, 7, 1017), (3, END), grammar, repetition)
        expected = rules.pick(logits, sampled)
        # PyTorch rounds the logarithm of the sum as a logit.
        rounded = 2e-6 + 2 * np.finfo(np.float32).eps * np.abs(logits).max().item()
        assert Picker(rules)(logits, sampled) == (expected[0], pytest.approx(expected[1], abs=rounded))

    picks()


@each_library
@pytest.mark.parametrize("damaged", [np.nan, np.inf])
@pytest.mark.parametrize("at", [5, BEGIN + 3, VOCABULARY - 1])
def test_logits_that_are_no_numbers_are_an_error(library, damaged, at):
    logits = np.zeros(VOCABULARY, np.float32)
    logits[at] = damaged
    with pytest.raises(ModelError, match="not a number"):
        Picker(Rules.of((), (), GRAMMAR))(logits, [4])


@each_library
def test_it_is_an_error_that_nothing_is_allowed(library):
    with pytest.raises(ModelError, match="not a number"):
        Picker(Rules.of(range(VOCABULARY), (), GRAMMAR))(np.zeros(VOCABULARY, np.float32), [4])


@each_library
def test_of_equally_likely_tokens_the_first_is_picked(library):
    token, logprob = Picker(Rules.of((), (), None))(np.zeros(VOCABULARY, np.float32), [4])
    assert (token, logprob) == (0, pytest.approx(-np.log(VOCABULARY)))
