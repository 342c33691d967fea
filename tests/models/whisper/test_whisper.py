"""The bring-up of Whisper: in evaluation mode, at batch 1, as far as each machine can take it.

What stands in for what is in the tests' names: distil-large-v3 with its own weights needs the hub; its true shape needs
no weights; tiny.en has its own weights and real speech, and stands in for no other model's accuracy.
"""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import WhisperForConditionalGeneration

from accuracy import recorded
from oracle import generation_config, hugging_face, hugging_face_config
from reports.tiny_en import GROUP, ran
from ttscribe.audio import load_audio, log_mel
from ttscribe.check import check_programs
from ttscribe.check.programs import capture_calls, checkable
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import DEFAULT_POLICY, WHISPER_POLICY, CompileSettings, policy
from ttscribe.compiler.whisper_programs import PROGRAMS
from ttscribe.devices.ttnn.device import CARDS
from ttscribe.errors import ModelNotFound
from ttscribe.reports.measure import ledger_differences
from ttscribe.reports.schema import FIGURES, Status, from_json
from ttscribe.transcription import Transcriber
from ttscribe.whisper.checkpoints import load_checkpoint
from ttscribe.whisper.config import SIZES

# One worker makes the report of tiny.en.
pytestmark = pytest.mark.xdist_group(GROUP)

POLICY = WHISPER_POLICY
# Not in a report that is made without a card or speech: what only these give, and one of models that are not Whisper.
OF_A_CARD, OF_SPEECH = ("first_run",), ("token_agreement", "pcc_mean", "pcc_worst", "wer", "wer_fp32")
ABSENT = (*OF_A_CARD, *OF_SPEECH, "device_operations")
COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "models" / "tiny.en" / "report.json"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    pytest.importorskip("ttnn", reason="the ttnn library is not installed: make env")
    return ran(tmp_path_factory)


@pytest.fixture(scope="module")
def report(told):
    return from_json((told.folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def on_emulator(tiny_en):
    """tiny.en on the emulator: one runner for every test, so that its programs are compiled once."""
    return Transcriber(tiny_en, "emulator", POLICY)


@pytest.fixture(scope="module")
def emulated(on_emulator, beckett):
    """What tiny.en says on the emulator of the ten seconds of beckett."""
    return text(on_emulator, beckett)


def text(transcriber, recording):
    segments, _ = transcriber.transcribe(recording)
    return "".join(segment.text for segment in segments)


@pytest.fixture(scope="module")
def distil_large_v3():
    """distil-large-v3 with its own weights, from a cache, or with TTSCRIBE_HUB=1 from the hub."""
    try:
        return load_checkpoint("distil-large-v3", offline=os.environ.get("TTSCRIBE_HUB") != "1")
    except ModelNotFound as error:
        pytest.skip(
            f"distil-whisper/distil-large-v3 is not here, and the hub was not reached (TTSCRIBE_HUB=1): {error}"
        )


@pytest.fixture(scope="module")
def dummy_utterance():
    """The first utterance of hf-internal-testing/librispeech_asr_dummy."""
    name = "hf-internal-testing/librispeech_asr_dummy"
    if os.environ.get("TTSCRIBE_HUB") != "1":
        pytest.skip(f"{name} is taken from the hub with TTSCRIBE_HUB=1 only")
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed: pip install datasets")
    try:
        found = datasets.load_dataset(name, "clean", split="validation")
    except (OSError, ValueError) as error:
        pytest.skip(f"{name} was not reached on the hub: {error}")
    return load_audio(found.cast_column("audio", datasets.Audio(decode=False))[0]["audio"]["bytes"])


def test_distil_large_v3_with_its_own_weights_says_on_the_emulator_what_it_says_on_the_cpu(
    distil_large_v3, dummy_utterance
):
    ours, theirs = Transcriber(distil_large_v3, "emulator", POLICY), Transcriber(distil_large_v3)
    expected, _ = theirs.transcribe(dummy_utterance, sample_rate=16_000)
    found, _ = ours.transcribe(dummy_utterance, sample_rate=16_000)
    assert [segment.text for segment in found] == [segment.text for segment in expected]
    assert ledger_differences(ours.runner) == ()


@pytest.fixture(scope="module")
def hugging_face_shape_of_distil_large_v3():
    """What torch.compile makes of transformers' model in bfloat16: it runs on fake tensors, which have no values."""
    with FakeTensorMode(), default_dtype(torch.bfloat16):
        model = WhisperForConditionalGeneration(hugging_face_config(SIZES["distil-large-v3"])).eval()
        mel, prompt = torch.empty(1, 128, 3000), torch.zeros(1, 4, dtype=torch.int64)
        return capture_calls(
            model, lambda compiled: compiled(input_features=mel, decoder_input_ids=prompt, use_cache=False)
        )


def test_the_shape_of_distil_large_v3_without_weights_compiles_whole_through_torch_compile(
    hugging_face_shape_of_distil_large_v3,
):
    """Window and prompt in one graph: no more operations on the device than our own three programs have."""
    pytest.importorskip("ttnn", reason="the ttnn library is not installed: make env")
    (graph,) = hugging_face_shape_of_distil_large_v3
    compiled = compile_graph(graph, CompileSettings(policy(DEFAULT_POLICY), strict=True))
    assert compiled.report.fallbacks == ()
    found = check_programs([checkable(compiled)], "n150")
    assert found.findings == ()
    (program,) = found.programs
    assert (program.host_segments, program.launches) == (0, 422)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def test_tiny_en_with_its_own_weights_in_bfloat16_says_through_torch_compile_what_it_says_in_eager_mode(
    tiny_en, beckett
):
    mel = torch.from_numpy(log_mel(load_audio(beckett), tiny_en.config.num_mel_bins))[None].bfloat16()
    said, reports = {}, []
    for mode in ("eager", "compiled"):
        model = hugging_face(tiny_en.model).bfloat16()
        model.generation_config = generation_config(tiny_en, model)
        if mode == "compiled":
            options = {"precision": DEFAULT_POLICY, "report": reports.append}
            torch._dynamo.reset()
            model.get_encoder().compile(backend="ttnn", options=options)
            model.compile(backend="ttnn", options=options)
        said[mode] = model.generate(mel, cache_implementation="static")[0].tolist()
    assert said["compiled"] == said["eager"]
    assert tiny_en.tokenizer.decode(said["compiled"]).startswith(" Ever tried, ever failed.")
    encoder, *decoder = reports
    assert encoder.fallbacks == ()
    # Positions are 64-bit sums of scalars, which the device has no type for.
    assert {each.target for report in decoder for each in report.fallbacks} == {"aten.add.Tensor"}


def test_tiny_en_with_its_own_weights_is_in_evaluation_mode_in_float32(tiny_en):
    assert not any(module.training for module in tiny_en.model.modules())
    assert {parameter.dtype for parameter in tiny_en.model.parameters()} == {torch.float32}


def test_tiny_en_with_its_own_weights_is_accepted_by_the_mock_board(report):
    assert report.weights == "tiny.en, its own"
    assert (report.board, report.precision, report.batch) == ("n150", POLICY, 1)
    assert report.findings == report.fallbacks == ()
    assert [each.program for each in report.programs] == list(PROGRAMS)
    assert all(each.host_segments == 0 and each.peak_l1 for each in report.programs)


def test_tiny_en_with_its_own_weights_has_the_verdict_of_all_speech():
    """Which takes an hour and is committed; another test compares the rest of that report with this code's."""
    committed = from_json(COMMITTED.read_text(encoding="utf-8"))
    judged = recorded()["tiny.en", POLICY]
    assert judged.clips == 91
    done = (Status.DONE, ()) if judged.verdict == "met" else (Status.IN_WORK, (f"accuracy contract {judged.verdict}",))
    assert (committed.status, committed.reasons) == done
    assert set(OF_SPEECH) <= set(committed.figures)


def test_tiny_en_with_its_own_weights_says_on_the_emulator_what_it_says_on_the_cpu(tiny_en, emulated, beckett):
    assert emulated == text(Transcriber(tiny_en), beckett)
    assert emulated.startswith("Ever tried, ever failed.")


def test_tiny_en_with_its_own_weights_runs_on_the_emulator_what_was_compiled(on_emulator, emulated):
    assert emulated
    loaded = on_emulator.runner.loaded_programs()
    assert {each.program.name for each in loaded} >= {"encode", "cross_kv", "prefill"}
    assert all(each.ledger for each in loaded)
    assert ledger_differences(on_emulator.runner) == ()


def test_tiny_en_with_its_own_weights_says_on_a_card_what_it_says_on_the_cpu(tiny_en, beckett):
    if not CARDS.is_dir():
        pytest.skip(f"no Tenstorrent card: {CARDS} does not exist")
    on_card = Transcriber(tiny_en, "ttnn", POLICY)
    assert text(on_card, beckett) == text(Transcriber(tiny_en), beckett)
    assert ledger_differences(on_card.runner) == ()


def test_every_metric_of_tiny_en_is_taken_but_those_that_need_a_card_or_speech_or_another_model(report):
    assert set(report.figures) == set(FIGURES) - set(ABSENT)
