"""Policies on the emulator against float32 PyTorch: tiny.en with its own weights, on read English."""

from dataclasses import astuple

import pytest
import torch

from accuracy import FOLDERS, read_records
from ttscribe.devices import make_runner
from ttscribe.errors import ModelError
from ttscribe.evaluation.accuracy import EMULATOR, Forced, Text
from ttscribe.evaluation.compare import Comparison, compare
from ttscribe.evaluation.speech import Clip
from ttscribe.evaluation.words import count_errors

pytestmark = pytest.mark.xdist_group("comparison of tiny.en")

SAID = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
POLICY = "bf16-hifi3"
RECORDS = FOLDERS[EMULATOR]
# An utterance of which bfloat16 picks a token that float32 does not.
CLOSE = "audio/lj-LJ001-0027.flac"


@pytest.fixture(scope="module")
def comparison(tiny_en):
    runner = make_runner("emulator", tiny_en.model, POLICY, tiny_en.suppress_tokens)
    return Comparison(tiny_en, runner, "tiny.en", POLICY)


@pytest.fixture(scope="module")
def clip(beckett):
    return Clip(beckett, SAID, 10.0)


def test_float32_agrees_with_itself_in_every_token_and_word(tiny_en, clip):
    forced, text = Comparison(tiny_en, make_runner("cpu", tiny_en.model), "tiny.en", "exact").of(clip, "beckett")
    assert (forced.model, forced.policy, forced.file) == ("tiny.en", "exact", "beckett")
    assert forced.agreed == forced.tokens > 15
    assert forced.margins == []
    assert forced.worst_pcc == pytest.approx(1, abs=1e-6)
    assert text.errors == text.fp32_errors


def test_a_committed_record_is_what_is_recorded_now(comparison, speech):
    (before,) = (each for each in read_records(Forced, RECORDS) if astuple(each)[:3] == ("tiny.en", POLICY, CLOSE))
    (said,) = (each for each in read_records(Text, RECORDS) if astuple(each)[:3] == ("tiny.en", POLICY, CLOSE))
    lines = (speech / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    (reference,) = (line.split("\t")[5] for line in lines if line.startswith(CLOSE))
    forced, text = comparison.of(Clip(speech / CLOSE, reference, 0.0), CLOSE)
    assert text == said
    assert (forced.tokens, forced.agreed) == (before.tokens, before.agreed)
    # bfloat16 is not float32, and correlates with it.
    assert forced.agreed < forced.tokens
    assert 0.99 < forced.worst_pcc <= forced.mean_pcc < 0.99999
    assert forced.margins == pytest.approx(before.margins, abs=1e-3)
    # Another processor adds float32 up in another order, and bfloat16 then rounds a few numbers the other way.
    assert (forced.mean_pcc, forced.worst_pcc) == pytest.approx((before.mean_pcc, before.worst_pcc), abs=1e-4)


def test_logits_that_are_not_numbers_are_an_error_and_not_a_record(tiny_en, comparison, clip, monkeypatch):
    runner = make_runner("cpu", tiny_en.model)
    step = runner.decode_step
    monkeypatch.setattr(runner, "decode_step", lambda *given: step(*given) * torch.nan)
    with pytest.raises(ModelError, match="not numbers"):
        Comparison(tiny_en, runner, "tiny.en", "exact").of(clip, "beckett")


def test_every_recording_is_compared_and_its_seconds_are_told(tiny_en, clip):
    told = []
    runner = make_runner("cpu", tiny_en.model)
    forced, texts = compare(tiny_en, runner, ("tiny.en", "exact"), [clip, clip], told.append)
    assert [each.file for each in forced] == [each.file for each in texts] == ["beckett.wav"] * 2
    assert [(each.done, each.total) for each in told] == [(10.0, 20.0), (20.0, 20.0)]


@pytest.mark.parametrize(
    ("reference", "text", "language", "counts"),
    [
        ("Mister Smith's colour", "mr smith is color", "en", (4, 0)),
        ("a red house", "a read house now", "en", (3, 2)),
        ("", "you you", "en", (0, 2)),
        ("words", "", "en", (1, 1)),
        ("你好世界。", "你好世间", "zh", (4, 1)),
        ("¿Qué tal, señor?", "que tal señora", "es", (3, 2)),
    ],
)
def test_errors_are_counted_after_whispers_normaliser(reference, text, language, counts):
    assert count_errors(reference, text, language) == counts
