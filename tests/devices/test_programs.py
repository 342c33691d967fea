"""Whisper as compiled programs on the emulator, with real weights on real speech."""

import pytest
import torch

from ttscribe.audio import load_audio, log_mel, window
from ttscribe.devices import make_runner
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.transcription import Transcriber

# One worker makes what the tests share, once.
pytestmark = pytest.mark.xdist_group("programs of tiny.en")

PROMPT = (50257, 50362)  # <|startoftranscript|><|notimestamps|> of tiny.en


@pytest.fixture(scope="module")
def mel(beckett):
    return window(log_mel(load_audio(beckett), 80), 0)[None]


@pytest.fixture(scope="module")
def exact(tiny_en):
    return make_runner("emulator", tiny_en.model, "exact")


def logits(runner, mel, steps=6):
    """Encoder states aside: the logits of the prompt and of a few greedy steps."""
    state = runner.start(runner.encode(mel))
    rows = [runner.prefill(torch.tensor([PROMPT]), state)[0, -1]]
    for step in range(steps):
        token, position = rows[-1].argmax()[None], torch.tensor([len(PROMPT) + step])
        rows.append(runner.decode_step(token, position, state)[0])
    return torch.stack(rows)


def test_exact_programs_compute_what_pytorch_computes(tiny_en, exact, mel):
    ours, theirs = logits(exact, mel), logits(make_runner("cpu", tiny_en.model), mel)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_two_decodings_do_not_share_state(exact, mel):
    first = exact.start(exact.encode(mel))
    exact.prefill(torch.tensor([PROMPT]), first)
    again = exact.start(exact.encode(mel))
    before = exact.prefill(torch.tensor([PROMPT]), again)
    token, position = torch.tensor([383]), torch.tensor([2])
    alone = exact.decode_step(token, position, first)
    assert torch.equal(alone, exact.decode_step(token, position, again))
    assert torch.isfinite(before).all()


def test_rounding_moves_logits_a_little_and_lower_fidelity_more(tiny_en, exact, mel):
    reference = logits(exact, mel)

    def error(policy):
        return float((logits(make_runner("emulator", tiny_en.model, policy), mel) - reference).norm())

    errors = [error(policy) for policy in ("bf16-hifi4", "bfp8-hifi2")]
    assert 0 < errors[0] < errors[1] < 0.2 * float(reference.norm())


@pytest.mark.parametrize("policy", ["exact", "bf16-hifi4"])
def test_transcribes_as_the_cpu_does(tiny_en, two_cities, policy):
    expected, _ = Transcriber(tiny_en).transcribe(two_cities)
    ours, info = Transcriber(tiny_en, "emulator", policy).transcribe(two_cities)
    assert [segment.text for segment in ours] == [segment.text for segment in expected]
    assert info.device == "emulator"


def test_programs_take_one_window_at_a_time(exact, mel):
    with pytest.raises(OptionError, match="one window at a time"):
        exact.encode(mel.expand(2, -1, -1))


def test_unknown_devices_and_policies_are_named(tiny_en):
    with pytest.raises(DeviceUnavailable, match="'npu'; there is cpu, emulator"):
        make_runner("npu", tiny_en.model)
    with pytest.raises(OptionError, match="'fp4'; there is exact, bf16-hifi4"):
        make_runner("emulator", tiny_en.model, "fp4")
    with pytest.raises(OptionError, match="on cpu choose --dtype"):
        make_runner("cpu", tiny_en.model, "exact")


def test_tokens_picked_on_the_device_are_those_picked_on_the_host(tiny_en, exact, mel):
    runner = make_runner("emulator", tiny_en.model, "exact", tiny_en.suppress_tokens)
    first = int(exact.prefill(torch.tensor([PROMPT]), exact.start(exact.encode(mel)))[0, -1].argmax())
    state = runner.start(runner.encode(mel))
    runner.prefill(torch.tensor([PROMPT]), state)
    there = runner.generate(first, len(PROMPT), state, limit=12, end=tiny_en.tokenizer.eot)
    state = exact.start(exact.encode(mel))
    exact.prefill(torch.tensor([PROMPT]), state)
    here = [first]
    for position in range(len(PROMPT), len(PROMPT) + len(there)):
        logits = exact.decode_step(torch.tensor(here[-1:]), torch.tensor([position]), state)[0]
        logits[list(tiny_en.suppress_tokens)] = -torch.inf
        here.append(int(logits.argmax()))
    assert there == here[1:]
    assert len(there) == 12


def test_tokens_stop_at_the_end(tiny_en, mel):
    runner = make_runner("emulator", tiny_en.model, "exact", tiny_en.suppress_tokens)
    state = runner.start(runner.encode(mel))
    first = int(runner.prefill(torch.tensor([PROMPT]), state)[0, -1].argmax())
    tokens = runner.generate(first, len(PROMPT), state, limit=100, end=tiny_en.tokenizer.eot)
    assert tokens[-1] == tiny_en.tokenizer.eot
    assert tiny_en.tokenizer.eot not in tokens[:-1]
