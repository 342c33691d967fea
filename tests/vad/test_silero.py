"""The network, beside Silero's own file run by ONNX Runtime."""

import numpy as np
import pytest

from ttscribe import VadOptions
from ttscribe.audio import load_audio
from ttscribe.errors import CheckpointInvalid, ModelNotFound
from ttscribe.vad import SpeechDetector, silero
from ttscribe.vad.silero import CONTEXT, FRAME, WEIGHTS, load_silero, locate, read_silero


@pytest.fixture
def weights():
    path = locate(WEIGHTS)
    assert path is not None
    return path


def by_onnx_runtime(path, samples):
    """Probabilities of each 32 ms, from the same file."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make env")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    padded = np.pad(samples, (CONTEXT, -len(samples) % FRAME))
    frames = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]
    none = np.zeros((1, 1, 128), np.float32)
    return session.run(None, {"input": np.ascontiguousarray(frames), "h": none, "c": none})[0].ravel()


@pytest.mark.parametrize("clip", ["beckett", "two_cities"])
def test_probabilities_are_those_of_the_reference(clip, weights, request):
    samples = load_audio(request.getfixturevalue(clip))
    detector = SpeechDetector()
    for start in range(0, len(samples), 1234):
        detector.add(samples[start : start + 1234])
    heard = np.array(detector.finish(VadOptions()).probabilities)
    expected = by_onnx_runtime(weights, samples)
    assert heard.shape == expected.shape
    assert np.abs(heard - expected).max() < 1e-5
    assert expected.min() < 0.1 < 0.9 < expected.max()


def test_the_state_goes_on_from_call_to_call(weights):
    network = read_silero(weights)
    frames = np.random.default_rng(0).normal(0, 0.1, (20, CONTEXT + FRAME)).astype(np.float32)
    whole, _ = network(frames, network.first_state())
    first, state = network(frames[:7], network.first_state())
    rest, _ = network(frames[7:], state)
    assert first.dtype == np.float32
    np.testing.assert_allclose(np.concatenate([first, rest]), whole, rtol=0, atol=1e-6)


def test_without_weights_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(silero, "WEIGHTS", "no_such_package/data/weights.onnx")
    load_silero.cache_clear()
    with pytest.raises(ModelNotFound, match="silero-vad, which ttscribe needs, is not installed: pip install"):
        SpeechDetector()
    load_silero.cache_clear()


@pytest.mark.parametrize("keep", [0, 1000, 500_000])
def test_weights_cut_short_are_refused_in_one_line(keep, weights, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(weights.read_bytes()[:keep])
    problem = r"cut\.onnx: not the weights of Silero VAD 6 \(.*\); install its package again"
    with pytest.raises(CheckpointInvalid, match=problem) as caught:
        read_silero(path)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "noise.onnx"
    for seed in range(20):
        path.write_bytes(np.random.default_rng(seed).bytes(10_000))
        with pytest.raises(CheckpointInvalid):
            read_silero(path)
