"""Several windows on one chip: each is decoded as if alone. The emulator computes what the card's calls would."""

import numpy as np
import pytest
import torch

from devices.conftest import SMALL
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.operations.emulation import DeviceTensor
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.steps import timestamp_ids
from ttscribe.decoding import Picks, Rules, TimestampGrammar
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.devices.programs import ProgramRunner
from ttscribe.devices.ttnn import runner as card
from ttscribe.whisper.model import random_model

EXACT = CompileSettings(policy("exact"))
IDS = timestamp_ids(SMALL.vocab_size)
TIMED = Rules.of((), (), TimestampGrammar(IDS.begin, IDS.end_of_text, IDS.no_timestamps, 10))
UNTIMED = Rules.of((), (), None)
PROMPT, TOKENS = 3, 20


class Card(EmulatedDevice):
    """What TtnnRunner asks of a card, on the emulator; its own ``library``, which writes what programs are given."""

    chips, board, handle = 1, BOARDS["n150"], None

    @property
    def library(self):
        return self

    def copy_host_to_device_tensor(self, host, into, cq_id):
        into.data.copy_(host.data)

    host_tensor = EmulatedDevice.to_device

    def overwrite(self, tensor, by):
        tensor.data.copy_(by.data)

    def put(self, cache, new, row):
        cache.data[row] = new.data[0]

    def leave(self): ...


class Recorded:
    """A trace: to record it is to run the program, and what it gives is in the same place after every replay."""

    def __init__(self, _library, _device, loaded, inputs):
        self.loaded, self.inputs = loaded, inputs
        self.outputs = loaded(*inputs)

    def replay(self):
        for kept, made in zip(self.outputs, self.loaded(*self.inputs), strict=True):
            kept.data.copy_(made.data)

    def release(self): ...


@pytest.fixture
def model():
    """Random, with a vocabulary that is far enough from itself to say one thing and then another."""
    model = random_model(SMALL, seed=4)
    model.decoder.embed_positions.weight.mul_(40)
    return model


@pytest.fixture
def on_card(model, monkeypatch):
    monkeypatch.setattr(card, "Trace", Recorded)
    monkeypatch.setattr(card, "command_queues", lambda _board: 1)
    monkeypatch.setattr(DeviceTensor, "cpu", lambda each: DeviceTensor(each.spec, each.data.clone()), raising=False)
    return card.TtnnRunner(model, Card(exact=True), EXACT)


def windows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, SMALL.num_mel_bins, SMALL.mel_frames), np.float32)


def said(runner, mel, rules, prompt=PROMPT):
    """Tokens of each window, its logits after the prompt, and those after one token more that the host picked."""
    state = runner.start(runner.encode(mel))
    logits = runner.prefill(np.tile(np.arange(prompt), (len(mel), 1)), state)[:, -1]
    first = logits.argmax(-1)
    stepped = runner.decode_step(first, np.full_like(first, prompt), state)
    picked = [Picks([token], [0.0]) for token in stepped.argmax(-1).tolist()]
    # Decoding stops to see whether a text repeats itself, and goes on.
    for limit in (TOKENS // 2, TOKENS):
        position = prompt + max(len(row.tokens) for row in picked)
        runner.greedy(picked, position, state, rules, limit=limit, end=IDS.end_of_text)
    return [row.tokens for row in picked], np.stack((logits, stepped), 1)


def assert_each_as_alone(runner, model, mel, rules=TIMED, prompt=PROMPT):
    alone = ProgramRunner(model, EmulatedDevice(exact=True), EXACT)
    expected = [said(alone, window[None], rules, prompt) for window in mel]
    tokens, logits = said(runner, mel, rules, prompt)
    assert tokens == [each for one, _ in expected for each in one]
    np.testing.assert_allclose(logits, np.concatenate([each for _, each in expected]), rtol=1e-4, atol=1e-3)
    return tokens


@pytest.mark.parametrize("rules", [TIMED, UNTIMED])
def test_each_is_decoded_as_if_alone(on_card, model, rules):
    tokens = assert_each_as_alone(on_card, model, windows(3), rules)
    assert len({tuple(row) for row in tokens}) > 1


def test_fewer_after_more_and_more_after_fewer(on_card, model):
    for count in (1, 2, 5, 3, 1):
        assert_each_as_alone(on_card, model, windows(count, seed=count))


def test_a_prompt_of_another_length(on_card, model):
    """Its program is recorded when windows are encoded already, which runs all the others."""
    assert_each_as_alone(on_card, model, windows(2))
    assert_each_as_alone(on_card, model, windows(2, seed=1), prompt=33)


def test_encoder_states_are_each_windows_own(on_card, model):
    mel = windows(3)
    states = on_card.encoder_states(on_card.encode(mel))
    np.testing.assert_allclose(states, model.encode(torch.from_numpy(mel)), rtol=1e-4, atol=1e-3)
