"""Rows of all decodings in one state: which slots they have, and what becomes of what is in them."""

import numpy as np
import pytest

from ttscribe import Transcriber
from ttscribe.devices.slots import SlotRunner
from ttscribe.devices.torch_runner import TorchRunner

PROMPT, TOKENS = (1, 2, 3), (4, 5, 6, 7, 8)


@pytest.fixture
def runner(small_model):
    return SlotRunner(small_model)


def heard(model, seed):
    return np.random.default_rng(seed).standard_normal((1, 80, model.config.mel_frames), np.float32)


def begun(runner, *seeds):
    """A state of a row for each seed, which has read the prompt."""
    encoded = runner.encode(np.concatenate([heard(runner.model, seed) for seed in seeds]))
    state = runner.start(encoded)
    runner.prefill(np.array([PROMPT] * len(seeds)), state)
    return state


def step(runner, state, at):
    """Logits after the ``at``th token, of each row."""
    rows = len(state) if isinstance(state, list) else len(state.cross_attention[0].key)
    return runner.decode_step(np.array([TOKENS[at]] * rows), np.array([len(PROMPT) + at] * rows), state)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_slots_of_what_nobody_holds_any_more_are_taken_again(runner):
    kept = begun(runner, 0)
    for seed in range(1, 9):
        other = begun(runner, seed, seed + 1)
        assert sorted(row.slot for row in (*kept, *other)) == [0, 1, 2]
        del other
    assert len(runner._slots._state.self_attention[0].key) == 4


def test_a_decoding_goes_on_where_it_is_while_others_begin_and_end(runner, small_model):
    """Memory grows from one row to sixteen meanwhile, and steps of others go over its slot."""
    plain = TorchRunner(small_model)
    mine, theirs = begun(runner, 0), begun(plain, 0)
    for at, others in enumerate(([1], [2, 3, 4], list(range(5, 15)), [])):
        if others:
            crowd = begun(runner, *others)
            step(runner, crowd, 0)
        close(step(runner, mine, at), step(plain, theirs, at))
        crowd = None
    assert runner._slots._count == 16


def test_rows_that_are_reordered_take_the_slots_of_those_that_are_not_chosen(runner):
    state = begun(runner, 0, 1, 2, 3)
    step(runner, state, 0)
    slots = {row.slot for row in state}
    state = runner.reorder(state, [2, 2, 0, 2])
    assert {row.slot for row in state} == slots
    logits = step(runner, state, 1)
    for row, seed in zip(logits, (2, 2, 0, 2), strict=True):
        alone = begun(runner, seed)
        step(runner, alone, 0)
        close(row[None], step(runner, alone, 1))


def test_a_row_at_the_last_position_is_not_harmed_by_steps_of_others(runner, small_model):
    """They write where it will write next, and beyond the last position nobody may."""
    last = small_model.config.max_target_positions - 1
    tokens, token, position = np.array([[at % 50 for at in range(last)]]), np.array([9]), np.array([last])
    plain = TorchRunner(small_model)
    states = [each.start(each.encode(heard(small_model, 0))) for each in (runner, plain)]
    mine, theirs = states
    runner.prefill(tokens, mine)
    plain.prefill(tokens, theirs)
    expected = plain.decode_step(token, position, theirs)
    others = begun(runner, 1, 2)
    for at in range(2):
        step(runner, others, at)
        close(runner.decode_step(token, position, mine), expected)


def test_a_recording_has_the_text_that_the_plain_runner_gives(tiny_en, beckett):
    transcriber, heard = Transcriber(tiny_en), []
    for runner in (transcriber.runner, SlotRunner(tiny_en.model)):
        transcriber.runner = runner
        segments, _ = transcriber.transcribe(beckett, beam_size=3)
        heard.append([(each.start, each.end, each.text) for each in segments])
    assert heard[0] == heard[1]
    assert heard[0]
