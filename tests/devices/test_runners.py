"""What decoding may ask of a runner, on the CPU and as compiled programs, with real weights on real speech.

The runner of a card is in ``ttnn/test_runner.py``: on a mock board it computes no values.
"""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
import torch

from ttscribe.decoding import Picks, RepetitionRules, Rules, TimestampGrammar
from ttscribe.devices import make_runner
from ttscribe.devices.cpu import kernels
from ttscribe.devices.slots import SlotRunner
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.evaluation.correlation import correlation

# One worker compiles the programs, once.
pytestmark = pytest.mark.xdist_group("programs of tiny.en")

PROMPT = (50257, 50362)  # <|startoftranscript|><|notimestamps|> of tiny.en
# After the prompt, a token for each of two rows: at first two different prefixes, then more tokens for up to three.
PREFIXES = ((383, 632), (314, 1107))
FOLLOWING = ((262, 290), (257, 11), (13, 318))
LIMIT = 40  # tokens: the first recording ends before it, the second goes on


INT8 = pytest.mark.skipif(kernels.why_not() is not None, reason=f"no int8: {kernels.why_not()}")


@pytest.fixture(scope="module", params=["cpu", "slots", pytest.param("int8", marks=INT8), "emulator"])
def runner(request, tiny_en, exact):
    if request.param == "emulator":
        return exact
    if request.param == "slots":
        return SlotRunner(tiny_en.model)
    return make_runner("cpu", tiny_en.model, "int8" if request.param == "int8" else None)


@pytest.fixture(scope="module")
def encoded(runner, windows):
    """Encoder states of both windows, as one batch."""
    return runner.encode(windows)


@pytest.fixture(scope="module")
def alone(runner, windows):
    """Encoder states of each window, as a batch of its own."""
    return [runner.encode(window[None]) for window in windows]


@pytest.fixture(scope="module")
def rules(tiny_en):
    return Rules.of(tiny_en.suppress_tokens, tiny_en.begin_suppress_tokens, None)


def prompted(runner, states, rows=1):
    """A state that has read the prompt, and the logits [B, V] after it."""
    state = runner.start(states)
    return state, runner.prefill(np.array([PROMPT] * rows), state)[:, -1]


def steps(runner, state, tokens, read=0):
    """Logits [B, T, V] after each of the tokens [B, T], which follow the prompt and ``read`` tokens after it."""
    return np.stack(
        [
            runner.decode_step(column, np.full(column.shape, len(PROMPT) + read + at), state)
            for at, column in enumerate(np.array(tokens).T)
        ],
        axis=1,
    )


def by_hand(runner, state, logits, rules, limit, end):
    """Tokens of one row and their log probabilities, picked from logits one after another."""
    tokens, logprobs = [], []
    while True:
        allowed = torch.from_numpy(rules.apply(logits[0], tokens)).log_softmax(0)
        tokens.append(int(allowed.argmax()))
        logprobs.append(float(allowed.max()))
        if tokens[-1] == end or len(tokens) == limit:
            return tokens, logprobs
        logits = steps(runner, state, [tokens[-1:]], len(tokens) - 1)[:, 0]


def picked_by_hand(runner, states, rules, limit, end):
    return by_hand(runner, *prompted(runner, states), rules, limit, end)


def greedy(runner, states, rows, rules, limit, end):
    """The picks of ``runner.greedy``, the first of them from the prompt's logits."""
    state, logits = prompted(runner, states, rows)
    picked = [Picks() for _ in range(rows)]
    for row, row_logits in zip(picked, logits, strict=True):
        row.take(*rules.pick(row_logits, []))
    runner.greedy(picked, len(PROMPT), state, rules, limit=limit, end=end)
    return picked


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_each_row_of_a_batch_is_what_its_window_gives_alone(runner, encoded, alone):
    state, logits = prompted(runner, encoded, rows=2)
    ours = np.concatenate([logits[:, None], steps(runner, state, PREFIXES)], axis=1)
    for row, states, tokens in zip(ours, alone, PREFIXES, strict=True):
        own, first = prompted(runner, states)
        close(row, np.concatenate([first[:, None], steps(runner, own, [tokens])], axis=1)[0])
    assert not np.allclose(ours[0], ours[1], atol=0.1)


def test_as_many_rows_as_it_takes_decode_at_a_time(runner, encoded):
    state, _ = prompted(runner, encoded, rows=2)
    rows = [at % 2 for at in range(runner.max_batch)]
    many = steps(runner, runner.reorder(state, rows), [PREFIXES[row][:1] for row in rows])
    state, _ = prompted(runner, encoded, rows=2)
    two = steps(runner, state, [prefix[:1] for prefix in PREFIXES])
    close(many, two[rows])


@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_as_many_windows_as_it_takes_are_encoded_at_a_time(small_model, device):
    config = small_model.config
    with make_runner(device, small_model, "exact" if device == "emulator" else None) as small:
        mel = np.random.default_rng(0).standard_normal((small.max_batch, 80, config.mel_frames), np.float32)
        prompt = np.array([[1, 2]])
        logits = small.prefill(np.repeat(prompt, len(mel), 0), small.start(small.encode(mel)))
        assert logits.shape == (small.max_batch, 1, config.vocab_size)
        for row in (0, small.max_batch - 1):
            close(logits[row], small.prefill(prompt, small.start(small.encode(mel[row : row + 1])))[0])


def test_more_than_it_takes_is_refused_with_how_many_it_takes(runner, encoded, windows):
    most = runner.max_batch
    with pytest.raises(OptionError, match=f"decodes {most} windows at a time, not {most + 1}"):
        runner.encode(np.repeat(windows[:1], most + 1, 0))
    with pytest.raises(OptionError, match=f"decodes {most} windows at a time, not {most + 1}"):
        runner.reorder(runner.start(encoded), [0] * (most + 1))


def test_encoder_states_come_to_the_host_as_pytorch_computes_them(runner, encoded, tiny_en, windows):
    with torch.inference_mode():
        theirs = tiny_en.model.encode(torch.from_numpy(windows))
    states = runner.encoder_states(encoded)
    assert states.dtype == np.float32
    if runner.precision == "int8":
        assert correlation(torch.from_numpy(states), theirs) > 0.999
    else:
        close(states, theirs)


def test_decodings_that_are_alive_at_once_do_not_share_state(runner, alone):
    """Two of one window's states and one of another's, which take turns."""
    assert runner.max_decodings is None
    chosen = [(alone[0], PREFIXES[0]), (alone[0], PREFIXES[1]), (alone[1], PREFIXES[0])]
    states = [prompted(runner, encoded)[0] for encoded, _ in chosen]
    turns = [
        [steps(runner, state, [[tokens[at]]], at) for state, (_, tokens) in zip(states, chosen, strict=True)]
        for at in range(2)
    ]
    for ours, (encoded, tokens) in zip(zip(*turns, strict=True), chosen, strict=True):
        state, _ = prompted(runner, encoded)
        taken_in_turns, alone = np.concatenate(ours, axis=1), steps(runner, state, [tokens])
        if isinstance(runner, SlotRunner):
            # A step is over four slots there, and over one here: PyTorch's products differ in the last bits.
            close(taken_in_turns, alone)
        else:
            assert np.array_equal(taken_in_turns, alone)


@pytest.mark.parametrize("rows", [(1, 0), (1, 1), (0, 0, 1), (1,)], ids=str)
def test_a_reordered_state_goes_on_as_if_its_rows_had_been_decoded_anew(runner, encoded, alone, rows):
    state, _ = prompted(runner, encoded, rows=2)
    steps(runner, state, PREFIXES)
    following = FOLLOWING[: len(rows)]
    ours = steps(runner, runner.reorder(state, rows), following, 2)
    for logits, row, tokens in zip(ours, rows, following, strict=True):
        anew, _ = prompted(runner, alone[row])
        close(logits, steps(runner, anew, [(*PREFIXES[row], *tokens)])[0, 2:])


def test_greedy_takes_the_tokens_that_logits_on_the_host_say(tiny_en, runner, encoded, alone, rules):
    end = tiny_en.tokenizer.eot
    ours = greedy(runner, encoded, 2, rules, LIMIT, end)
    for row, states in zip(ours, alone, strict=True):
        tokens, logprobs = picked_by_hand(runner, states, rules, LIMIT, end)
        assert row.tokens == tokens
        # In int8 unlikely tokens count by what half of their weights give: 0.02 at most (docs/cpu.md).
        assert row.logprobs == pytest.approx(logprobs, abs=0.02 if runner.precision == "int8" else 1e-3)
    first, second = (row.tokens for row in ours)
    assert first[-1] == end
    assert end not in first[:-1]
    assert len(first) < LIMIT == len(second)


def picks_of(runner, program="greedy_step"):
    """How many tokens the device has picked so far by a program."""
    return runner.program(program).ledger["ttnn.plus_one"]


def test_the_host_reads_no_logits_where_the_device_knows_the_rules(tiny_en, exact, windows, rules):
    states, steps_ran, picks = exact.encode(windows[:1]), exact.program("decode_step").ledger.copy(), picks_of(exact)
    (row,) = greedy(exact, states, 1, rules, 6, tiny_en.tokenizer.eot)
    assert len(row.tokens) == 6
    assert exact.program("decode_step").ledger == steps_ran
    assert picks_of(exact) == picks + 5


@pytest.fixture
def grammar(tiny_en):
    tokenizer = tiny_en.tokenizer
    return TimestampGrammar(tokenizer.timestamp_begin, tokenizer.eot, tokenizer.no_timestamps, 50)


def test_with_timestamps_too_the_device_picks(tiny_en, exact, windows, grammar):
    timed = Rules.of(tiny_en.suppress_tokens, tiny_en.begin_suppress_tokens, grammar)
    states, steps_ran = exact.encode(windows[:1]), exact.program("decode_step").ledger.copy()
    picks = picks_of(exact, "timed_step")
    (row,) = greedy(exact, states, 1, timed, 30, grammar.end_of_text)
    assert picks_of(exact, "timed_step") == picks + len(row.tokens) - 1
    assert exact.program("decode_step").ledger == steps_ran
    tokens, logprobs = picked_by_hand(exact, states, timed, 30, grammar.end_of_text)
    assert row.tokens == tokens
    assert row.logprobs == pytest.approx(logprobs, abs=1e-3)


@pytest.mark.parametrize("rules_of", ["repetition", "another grammar", "other tokens"])
def test_rules_that_the_device_does_not_know_hold_all_the_same(tiny_en, exact, windows, grammar, rules_of):
    suppressed = tiny_en.suppress_tokens[:-1] if rules_of == "other tokens" else tiny_en.suppress_tokens
    timestamps = replace(grammar, begin=grammar.begin + 1) if rules_of == "another grammar" else grammar
    repetition = RepetitionRules(1.3, 0, grammar.end_of_text) if rules_of == "repetition" else None
    rules = Rules.of(suppressed, tiny_en.begin_suppress_tokens, timestamps, repetition)
    states, picks = exact.encode(windows[:1]), picks_of(exact, "timed_step")
    (row,) = greedy(exact, states, 1, rules, 6, grammar.end_of_text)
    assert row.tokens == picked_by_hand(exact, states, rules, 6, grammar.end_of_text)[0]
    assert row.tokens[0] >= grammar.begin
    assert picks_of(exact, "timed_step") == picks


def test_threads_may_share_the_cpu(tiny_en, windows, rules):
    runner, end, together = make_runner("cpu", tiny_en.model), tiny_en.tokenizer.eot, Barrier(4)
    assert runner.concurrent
    chosen = [windows[at % 2][None] for at in range(together.parties)]

    def tokens(window):
        states = runner.encode(window)
        together.wait()
        return picked_by_hand(runner, states, rules, 12, end)

    with ThreadPoolExecutor(together.parties) as threads:
        ours = list(threads.map(tokens, chosen))
    assert ours[2:] == ours[:2] == [picked_by_hand(runner, runner.encode(each), rules, 12, end) for each in chosen[:2]]


def test_compiled_programs_are_for_one_thread_at_a_time(exact):
    assert not exact.concurrent


def test_what_is_closed_holds_no_programs_and_says_so_when_it_is_used(tiny_en):
    with make_runner("emulator", tiny_en.model, "exact") as runner:
        loaded = weakref.ref(runner.program("cross_kv"))
    runner.close()
    gc.collect()
    assert loaded() is None
    with pytest.raises(DeviceUnavailable, match=r"was closed.*load it again"):
        runner.encode(np.zeros((1, 80, 3000), np.float32))


def test_the_cpu_has_nothing_to_free(tiny_en, windows):
    with make_runner("cpu", tiny_en.model) as runner:
        states = runner.encode(windows[:1])
    runner.close()
    assert torch.equal(runner.encode(windows[:1]), states)
