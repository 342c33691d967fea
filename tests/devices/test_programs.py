"""Whisper as compiled programs on the emulator, with real weights on real speech."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.decoding import Picks, Rules, TimestampGrammar
from ttscribe.devices import make_runner
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.transcription import Transcriber

# One worker makes what the tests share, once.
pytestmark = pytest.mark.xdist_group("programs of tiny.en")

PROMPT = (50257, 50362)  # <|startoftranscript|><|notimestamps|> of tiny.en


@pytest.fixture(scope="module")
def mel(windows):
    return windows[:1]


@pytest.fixture(scope="module")
def rounded(tiny_en):
    with Transcriber(tiny_en, "emulator", "bf16-hifi3") as transcriber:
        yield transcriber


def logits(runner, mel, steps=6):
    """Encoder states aside: the logits of the prompt and of a few greedy steps."""
    state = runner.start(runner.encode(mel))
    rows = [runner.prefill(np.array([PROMPT]), state)[0, -1]]
    for step in range(steps):
        token, position = rows[-1].argmax()[None], np.array([len(PROMPT) + step])
        rows.append(runner.decode_step(token, position, state)[0])
    return np.stack(rows)


@pytest.fixture(scope="module")
def reference(exact, mel):
    return logits(exact, mel)


def test_exact_programs_compute_what_pytorch_computes(tiny_en, reference, mel):
    np.testing.assert_allclose(reference, logits(make_runner("cpu", tiny_en.model), mel), rtol=1e-4, atol=1e-3)


def test_rounding_moves_logits_a_little_and_lower_fidelity_more(tiny_en, reference, rounded, mel):
    def error(runner):
        return np.linalg.norm(logits(runner, mel) - reference)

    errors = [error(rounded.runner), error(make_runner("emulator", tiny_en.model, "bfp8-hifi2"))]
    assert 0 < errors[0] < errors[1] < 0.2 * np.linalg.norm(reference)


def test_exact_programs_transcribe_as_the_cpu_does(tiny_en, two_cities, beckett):
    """Two recordings in two threads: they take turns, and one finds compiled what the other has needed."""

    def texts(recording, transcriber):
        segments, info = transcriber.transcribe(recording, sample_rate=SAMPLE_RATE)
        return [segment.text for segment in segments], info.device

    recordings = load_audio(two_cities)[: 15 * SAMPLE_RATE], load_audio(beckett)
    on_cpu = Transcriber(tiny_en)
    with Transcriber(tiny_en, "emulator", "exact") as emulated, ThreadPoolExecutor(len(recordings)) as threads:
        found = list(threads.map(lambda recording: texts(recording, emulated), recordings))
    assert found == [(texts(recording, on_cpu)[0], "emulator") for recording in recordings]


@pytest.mark.parametrize("timestamps", [True, False])
def test_windows_of_one_batch_are_picked_together_as_each_alone(tiny_en, exact, windows, timestamps):
    """Two of speech, and silence, which ends first: the fourth row of the step is no window's."""
    tokenizer = tiny_en.tokenizer
    grammar = TimestampGrammar.of(tokenizer, tiny_en.max_initial_timestamp_index) if timestamps else None
    rules = Rules.of(tiny_en.suppress_tokens, tiny_en.begin_suppress_tokens, grammar)
    mel = np.stack([*windows, np.full_like(windows[0], windows.min())])
    prompt = np.array([[50257] if timestamps else PROMPT])

    def said(mel):
        state = exact.start(exact.encode(mel))
        logits = exact.prefill(np.repeat(prompt, len(mel), 0), state)[:, -1]
        picked = [Picks([token], [logprob]) for token, logprob in (rules.pick(row, ()) for row in logits)]
        # Decoding stops to see whether a text repeats itself, and goes on.
        for limit in (9, 30):
            position = prompt.shape[1] + max(len(row.tokens) for row in picked) - 1
            exact.greedy(picked, position, state, rules, limit=limit, end=tokenizer.eot)
        return [row.tokens for row in picked], [logprob for row in picked for logprob in row.logprobs]

    tokens, logprobs = said(mel)
    alone = [said(row[None]) for row in mel]
    assert tokens == [each for one, _ in alone for each in one]
    assert logprobs == pytest.approx([each for _, many in alone for each in many], abs=1e-3)
    assert exact.program("timed_step" if timestamps else "greedy_step", 4).ledger


def test_rounded_programs_hear_the_cpus_words(tiny_en, rounded, beckett):
    """Rounding may move the cut between two segments, by a near tie of timestamps."""

    def words(transcriber):
        return " ".join(segment.text for segment in transcriber.transcribe(beckett).segments).split()

    assert words(rounded) == words(Transcriber(tiny_en))


def test_unknown_devices_and_policies_are_named(tiny_en):
    with pytest.raises(DeviceUnavailable, match="'npu'; there is cpu, cuda, emulator"):
        make_runner("npu", tiny_en.model)
    with pytest.raises(OptionError, match="'fp4'; there is exact, bf16-hifi3"):
        make_runner("emulator", tiny_en.model, "fp4")
    with pytest.raises(OptionError, match="on cpu the precision is auto, float32, bfloat16, int8, not 'exact'"):
        make_runner("cpu", tiny_en.model, "exact")
