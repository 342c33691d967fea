"""``ttscribe.load_model``: what it gives, and what it refuses."""

import shutil

import pytest
import torch

import ttscribe
from ttscribe import threads
from ttscribe.devices.cpu import automatic
from ttscribe.errors import CheckpointInvalid, DeviceUnavailable, ModelNotFound, OptionError
from ttscribe.whisper.checkpoints.bundled import installed

pytestmark = pytest.mark.xdist_group("transcription, tiny.en")


@pytest.fixture
def cpu_threads():
    """Whatever a test sets the number of threads to, the next has what was before."""
    before = threads.count()
    yield before
    threads.limit(before)


def heard(transcriber, recording):
    segments, info = transcriber.transcribe(recording)
    return " ".join(segment.text for segment in segments), info


@pytest.fixture(scope="module")
def float32(beckett):
    return heard(ttscribe.load_model("tiny.en", precision="float32", offline=True), beckett)


def test_a_model_by_name_transcribes(float32):
    text, info = float32
    assert text == "Ever tried, ever failed. No matter, try again. Fail again. Fail better."
    assert (info.model, info.device, info.precision) == ("tiny.en", "cpu", "float32")


def test_a_model_by_folder_is_the_same(float32, beckett):
    folder = str(installed("tiny.en"))
    text, _ = heard(ttscribe.load_model(folder, precision="float32", offline=True), beckett)
    assert text == float32[0]


@pytest.mark.parametrize("precision", ["bfloat16", "auto"])
def test_another_precision_says_the_same(float32, beckett, precision):
    text, info = heard(ttscribe.load_model("tiny.en", precision=precision, offline=True), beckett)
    expected = automatic().precision if precision == "auto" else precision
    assert (text, info.precision) == (float32[0], expected)


def test_threads_are_set_for_the_process(cpu_threads):
    ttscribe.load_model("tiny.en", threads=cpu_threads + 1, offline=True)
    assert threads.count() == torch.get_num_threads() == cpu_threads + 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threads": 0}, OptionError, "threads must be at least 1, not 0"),
        ({"device": "abacus"}, DeviceUnavailable, "no device is called 'abacus'; there is cpu, cuda, emulator, ttnn"),
        ({"precision": "bf16"}, OptionError, "on cpu the precision is auto, float32, bfloat16, int8, not 'bf16'"),
        (
            {"device": "cuda", "precision": "int8"},
            OptionError,
            "on cuda the precision is auto, bfloat16",
        ),
        ({"device": "emulator", "precision": "fp64"}, OptionError, "fp64"),
    ],
)
def test_an_impossible_option_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        ttscribe.load_model("tiny.en", offline=True, **options)


def test_threads_that_are_refused_change_nothing(cpu_threads):
    with pytest.raises(OptionError):
        ttscribe.load_model("tiny.en", threads=-1, offline=True)
    assert threads.count() == torch.get_num_threads() == cpu_threads


def test_a_model_that_is_nowhere_is_not_found(tmp_path):
    with pytest.raises(ModelNotFound, match="nobody/whisper-nothing"):
        ttscribe.load_model("nobody/whisper-nothing", offline=True)
    with pytest.raises(ModelNotFound, match="absent"):
        ttscribe.load_model(str(tmp_path / "absent"), offline=True)


def test_a_damaged_model_is_refused(tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(installed("tiny.en"), folder)
    with (folder / "model.bin").open("r+b") as weights:
        weights.truncate(1_000_000)
    with pytest.raises(CheckpointInvalid, match=r"model\.bin"):
        ttscribe.load_model(str(folder), offline=True)
