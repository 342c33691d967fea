"""The file for whisper.cpp, read back by itself and by whisper.cpp where pywhispercpp is installed."""

import json
import subprocess

import numpy as np
import pytest

from ttscribe.bench.environment import environment_folder
from ttscribe.bench.ggml import openai_name, q8_0, write_ggml
from ttscribe.bench.weights import write_huggingface
from ttscribe.whisper.checkpoints import load_checkpoint
from ttscribe.whisper.checkpoints.openai import our_name

SAY = """
import sys

import numpy as np
import _pywhispercpp as cpp
context = cpp.whisper_init_from_file_with_params(sys.argv[1], cpp.whisper_context_default_params())
options = cpp.whisper_full_default_params(cpp.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
options.print_progress = False
options.n_threads = 1
samples = np.load(sys.argv[2])
assert cpp.whisper_full(context, options, samples, len(samples)) == 0
segments = range(cpp.whisper_full_n_segments(context))
sys.stdout.buffer.write(b"".join(cpp.whisper_full_get_segment_text(context, each) for each in segments))
"""


@pytest.fixture(scope="module")
def tiny(tiny_en, tmp_path_factory):
    """Real weights as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("huggingface")
    write_huggingface("tiny.en", folder, random=False, offline=True)
    return folder


def test_blocks_come_back_to_half_a_step():
    rows = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    rows[1, :32] = 0
    blocks = np.frombuffer(q8_0(rows), dtype=[("scale", "<f2"), ("values", "i1", 32)])
    back = (blocks["scale"].astype(np.float32)[:, None] * blocks["values"]).reshape(rows.shape)
    largest = np.abs(rows.reshape(-1, 32)).max(axis=1)
    # Half a step of rounding, and what the scale loses as a float16.
    assert (np.abs(back - rows).reshape(-1, 32).max(axis=1) <= largest / 127 * 0.57).all()


def test_names_are_openais(tiny_en):
    """Those that the reader of OpenAI's own checkpoints takes back to ours."""
    ours = list(tiny_en.model.state_dict())
    assert [our_name(openai_name(name)) for name in ours] == ours


def test_the_folder_is_the_checkpoint_in_float16(tiny, tiny_en):
    back = load_checkpoint(tiny)
    assert back.config == tiny_en.config
    assert back.tokenizer.texts == tiny_en.tokenizer.texts
    assert back.suppress_tokens == tiny_en.suppress_tokens
    for name, weight in tiny_en.model.state_dict().items():
        assert (back.model.state_dict()[name].float() == weight.half().float()).all(), name


def test_random_weights_suppress_what_would_end_a_text(tmp_path):
    config = write_huggingface("tiny", tmp_path, random=True)
    suppressed = json.loads((tmp_path / "generation_config.json").read_text())["suppress_tokens"]
    back = load_checkpoint(tmp_path)
    assert {*range(back.tokenizer.eot, config.vocab_size)} < {*suppressed}
    assert back.suppress_tokens == tuple(suppressed)


def test_whisper_cpp_hears_what_is_said(tiny, beckett, tmp_path):
    from ttscribe.audio import load_audio

    python = environment_folder() / "bin" / "python"
    if not python.exists():
        pytest.skip("pywhispercpp is not installed: ttscribe bench tiny.en --peers installs it")
    write_ggml(tiny, tmp_path / "ggml.bin")
    np.save(tmp_path / "samples.npy", load_audio(beckett))
    command = [str(python), "-c", SAY, str(tmp_path / "ggml.bin"), str(tmp_path / "samples.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Ever tried, ever failed. No matter, try again. Fail again. Fail better."
