"""The kernels' pick beside that of the rules in NumPy, and of inexact logits beside that of exact ones."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscribe.decoding import RepetitionRules, Rules, TimestampGrammar
from ttscribe.devices.cpu import kernels, packed, packing
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
        # NumPy rounds the logarithm of the sum as a logit.
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


WIDTH, ROWS = 64, 3


class Vocabulary:
    """A decoder without layers: of the rows of ``states`` [3, 64], normalised, to logits by ``weight`` [V, 64]."""

    def __init__(self, weight, states):
        norm, embedding = torch.nn.LayerNorm(WIDTH), torch.nn.Embedding.from_pretrained(weight)
        with torch.inference_mode():
            head = packing._head(SimpleNamespace(layer_norm=norm, embed_tokens=embedding))
        tensors = {**head, "embedding": states.half(), "positions": torch.zeros(1, WIDTH)}
        self._kept = {name: tensor.numpy() for name, tensor in tensors.items()}
        model = kernels.Model(width=WIDTH, vocabulary=len(weight))
        for name, array in self._kept.items():
            packed._point(model, name.split("."), array)
        model.head.outputs, model.head.inputs = len(head["head.sums"]), WIDTH
        self.model = ctypes.pointer(model)

    def rows(self, *, screened):
        """Of each state the logits [V], or what the kernels screen."""
        head = self.model.contents.head
        result = np.empty((ROWS, head.outputs + WIDTH if screened else self.model.contents.vocabulary), np.float32)
        tokens, positions = np.arange(ROWS), np.zeros(ROWS, np.int64)
        arrays = (tokens.ctypes.data, positions.ctypes.data, *((ctypes.c_void_p * ROWS)() for _ in range(2)))
        kernels.library().ttscribe_decode(
            self.model, ROWS, 1, *arrays, 1, (ctypes.c_int64 * 1)(0), result.ctypes.data, screened, 2
        )
        return result


@each_library
def test_of_screened_logits_the_token_of_exact_ones_is_picked(library):
    @given(
        **SETTINGS | {"repetition": st.none(), "scale": st.floats(0.01, 3)},
        alike=st.sampled_from([0, 1e-3, 0.03, 1]),
        kinds=st.integers(1, 40),
        allowed=st.sampled_from([1, 2, 30, VOCABULARY]),
    )
    @settings(deadline=None)
    def picks(sampled, seed, scale, times, grammar, repetition, alike, kinds, allowed):
        generator = torch.Generator().manual_seed(seed)
        states = torch.randn(ROWS, WIDTH, generator=generator)
        # Tokens of a kind are nearly equally likely.
        kind = torch.randn(kinds, WIDTH, generator=generator)[torch.randint(kinds, (VOCABULARY,), generator=generator)]
        weight = kind + alike * torch.randn(VOCABULARY, WIDTH, generator=generator)
        weight[BEGIN:] += times / WIDTH * states[0]
        suppressed = torch.randperm(VOCABULARY, generator=generator)[allowed:].tolist()
        rules = Rules.of(suppressed, (), grammar)
        vocabulary = Vocabulary(scale * weight, states)
        for exact, screened in zip(vocabulary.rows(screened=False), vocabulary.rows(screened=True), strict=True):
            try:
                expected = Picker(rules)(exact, sampled)
            except ModelError:  # nothing is allowed
                with pytest.raises(ModelError):
                    Picker(rules, vocabulary.model)(screened, sampled)
                continue
            token, logprob = Picker(rules, vocabulary.model)(screened, sampled)
            assert token == expected[0]
            # Weights that are alike lack the same lower halves, and what that is off by does not cancel.
            if alike == 1:
                assert logprob == pytest.approx(expected[1], abs=0.01)

    picks()


@each_library
def test_screened_states_that_are_no_numbers_are_an_error(library):
    states = torch.zeros(ROWS, WIDTH)
    states[1, 5] = torch.nan
    vocabulary = Vocabulary(torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(0)), states)
    pick, (first, damaged, _) = Picker(Rules.of((), (), GRAMMAR), vocabulary.model), vocabulary.rows(screened=True)
    pick(first, [4])
    with pytest.raises(ModelError, match="not a number"):
        pick(damaged, [4])
