"""The CPU's 8-bit products beside float32, on real weights and speech."""

import copy
import math
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from ttscribe import threads
from ttscribe.decoding import greedy_on_host
from ttscribe.devices import open_checkpoint
from ttscribe.devices.cpu import kernels, packed, packing
from ttscribe.devices.cpu.int8 import Int8Runner
from ttscribe.devices.torch_runner import TorchRunner
from ttscribe.errors import CheckpointInvalid
from ttscribe.evaluation.correlation import correlation
from ttscribe.files import replacing
from ttscribe.transcription import Transcriber
from ttscribe.whisper.checkpoints import load_checkpoint
from ttscribe.whisper.checkpoints.bundled import installed

pytestmark = [
    pytest.mark.skipif(kernels.why_not() is not None, reason=f"no int8: {kernels.why_not()}"),
    pytest.mark.xdist_group("int8"),
]


@pytest.fixture(scope="module")
def int8(tiny_en):
    return Int8Runner(packing.pack(tiny_en.model), tiny_en.config)


@pytest.fixture(scope="module")
def float32(tiny_en):
    return TorchRunner(tiny_en.model)


@pytest.fixture(scope="module")
def prompt(tiny_en):
    return np.array([tiny_en.tokenizer.prompt("en")])


@pytest.fixture
def limit():
    """Sets the number of threads, until the test ends."""
    before = threads.count()
    yield threads.limit
    threads.limit(before)


def said(runner, mel, prompt, count=8):
    """Logits of the prompt and of the likeliest tokens after it: [count, V] for each window."""
    state = runner.start(runner.encode(mel))
    prompts = np.repeat(prompt, len(mel), 0)
    logits = [runner.prefill(prompts, state)[:, -1]]
    for position in range(prompt.shape[1], prompt.shape[1] + count):
        token = logits[-1].argmax(-1)
        logits.append(runner.decode_step(token, np.full_like(token, position), state))
    return np.stack(logits, 1)


def linear(weight, bias):
    """A linear of the library, and the tensors that it points into."""
    tensors = packing._linear("it", weight, bias)
    pointers = (tensors[f"it.{name}"].data_ptr() for name in ("weight", "scale", "sums", "bias"))
    return kernels.Linear(*pointers, *weight.shape), tensors


def multiplied(weight, bias, rows):
    made, _kept = linear(weight, bias)
    result = torch.empty(len(rows), len(weight))
    kernels.library().ttscribe_linear(made, rows.data_ptr(), len(rows), result.data_ptr(), threads.count())
    return result


@pytest.mark.parametrize("rows", [1, 2, 11, 12, 13, 97])
@pytest.mark.parametrize("outputs", [32, 33, 160])
def test_a_product_is_that_of_rounded_weights_and_activations(rows, outputs):
    generator = torch.Generator().manual_seed(rows)
    weight, bias = torch.randn(outputs, 64, generator=generator), torch.randn(outputs, generator=generator)
    given = torch.randn(rows, 64, generator=generator) * torch.logspace(-3, 3, rows)[:, None]
    scale = weight.abs().amax(1, keepdim=True) / 127
    low, high = given.amin(1, keepdim=True).clamp(max=0), given.amax(1, keepdim=True).clamp(min=0)
    step = (high - low) / 255
    zero = (-low / step).round()
    activations = (((given / step).round() + zero).clamp(0, 255) - zero) * step
    expected = activations.double() @ ((weight / scale).round() * scale).double().T + bias
    # Beside the largest of a row, since large terms cancel.
    size = expected.abs().amax(1, keepdim=True)
    torch.testing.assert_close(multiplied(weight, bias, given).double() / size, expected / size, rtol=0, atol=1e-6)


def test_rows_of_zeros_and_weights_of_zeros_give_the_bias():
    bias = torch.arange(32.0)
    assert torch.equal(multiplied(torch.zeros(32, 64), bias, torch.zeros(2, 64)), bias.expand(2, -1))


def correlated(ours, theirs):
    return correlation(torch.from_numpy(ours), torch.from_numpy(theirs))


def test_the_vocabulary_is_kept_in_halves_of_its_bytes(tiny_en):
    decoder = tiny_en.model.decoder
    whole = packing._equalised("norm", "head", decoder.layer_norm, (decoder.embed_tokens,))["head.weight"]
    head = packing._head(decoder)
    panels, fours, _, _ = whole.shape
    upper, lower = head["head.weight"].view(torch.uint8).view(2, panels, fours, 16, 4)
    left, right = upper << 4 | lower & 15, upper & 240 | lower >> 4
    assert torch.equal(torch.cat((left, right), 2).view(torch.int8), whole)
    assert torch.equal(head["head.upper_sums"], (whole & ~15).sum((1, 3), dtype=torch.int32).flatten())


@pytest.mark.parametrize("library", kernels.NEEDS, indirect=True)
def test_states_and_logits_of_each_library_are_nearly_those_of_float32(library, int8, float32, windows, prompt):
    ours, theirs = (runner.encoder_states(runner.encode(windows)) for runner in (int8, float32))
    # Activations have 7 bits there.
    assert correlated(ours, theirs) > (0.998 if library == "avx2" else 0.999)
    ours, theirs = (said(runner, windows, prompt) for runner in (int8, float32))
    assert np.array_equal(ours.argmax(-1), theirs.argmax(-1))
    each = zip(ours, theirs, strict=True)
    assert min(correlated(*pair) for row in each for pair in zip(*row, strict=True)) > 0.998


def test_windows_together_are_bit_for_bit_what_each_is_alone(int8, windows, prompt):
    together = said(int8, windows, prompt)
    for row, window in enumerate(windows):
        assert np.array_equal(together[row], said(int8, window[None], prompt)[0])


def test_the_number_of_threads_changes_nothing(int8, windows, prompt, limit):
    results = []
    for count in (1, 2, 5, 3):
        limit(count)
        results.append(said(int8, windows[:1], prompt, 2))
    assert all(np.array_equal(each, results[0]) for each in results)


def test_threads_share_it(int8, windows, prompt):
    expected = [said(int8, window[None], prompt, 2) for window in windows]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda at: said(int8, windows[at % 2][None], prompt, 2), range(8)))
    assert all(np.array_equal(each, expected[at % 2]) for at, each in enumerate(found))


def test_a_fork_has_threads_of_its_own(int8, windows, prompt, limit):
    limit(2)
    encoded = int8.encode(windows[:1])
    child = os.fork()
    if not child:
        # PyTorch's own threads are gone here, and it would wait for them: nothing large is left to it.
        status = 1
        try:
            status = int(not math.isfinite(int8.prefill(prompt, int8.start(encoded))[0, -1, 0].item()))
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_rows_that_are_reordered_go_on_as_those_that_they_come_from(int8, windows, prompt):
    state = int8.start(int8.encode(windows))
    first = int8.prefill(np.repeat(prompt, 2, 0), state)[:, -1].argmax(-1)
    successors = int8.reorder(state, [1, 0, 1])
    token, position = first[[1, 0, 1]], np.full(3, prompt.shape[1])
    logits = int8.decode_step(token, position, successors)
    assert np.array_equal(logits[0], logits[2])
    # Each has a cache of its own: what one says next the other does not see.
    changed = np.array([logits[0].argmax(), logits[1].argmax(), logits[2].argsort()[-2]])
    later = int8.decode_step(changed, position + 1, successors)
    alone = int8.start(int8.encode(windows[1:]))
    int8.prefill(prompt, alone)
    int8.decode_step(token[:1], position[:1], alone)
    assert np.array_equal(later[0], int8.decode_step(changed[:1], position[:1] + 1, alone)[0])
    assert not np.array_equal(later[0], later[2])


@pytest.mark.parametrize(
    "options", [{}, {"timestamps": False}, {"repetition_penalty": 1.2}], ids=["timestamps", "text", "repetition"]
)
@pytest.mark.parametrize("checkpoint", ["tiny_en", "base"])
def test_a_recording_has_the_tokens_that_all_logits_in_whole_give(
    checkpoint, options, two_cities, request, monkeypatch
):
    transcriber = Transcriber(request.getfixturevalue(checkpoint), precision="int8")
    ours = list(transcriber.transcribe(two_cities, **options)[0])
    monkeypatch.setattr(Int8Runner, "greedy", greedy_on_host)
    theirs = list(transcriber.transcribe(two_cities, **options)[0])
    assert [segment.tokens for segment in ours] == [segment.tokens for segment in theirs]
    for segment, expected in zip(ours, theirs, strict=True):
        assert segment.avg_logprob == pytest.approx(expected.avg_logprob, abs=1e-3)


def test_beams_and_word_times_are_those_of_float32(tiny_en, beckett):
    def heard(precision):
        runner = Transcriber(tiny_en, precision=precision)
        segments, info = runner.transcribe(beckett, beam_size=3, word_timestamps=True)
        return [(word.text, round(word.start, 1)) for segment in segments for word in segment.words], info.precision

    ours, theirs = heard("int8"), heard(None)
    assert (ours[1], theirs[1]) == ("int8", "float32")
    assert [text for text, _ in ours[0]] == [text for text, _ in theirs[0]]
    assert all(abs(a - b) <= 0.2 for (_, a), (_, b) in zip(ours[0], theirs[0], strict=True))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for packed weights."""
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packed"


def not_built():
    pytest.fail("the weights were read")


def test_weights_are_packed_once_and_mapped_after_that(tiny_en, cache, windows, prompt, int8):
    open_checkpoint("cpu", tiny_en, "int8")
    again = open_checkpoint("cpu", replace(tiny_en, build=not_built), "int8")
    assert np.array_equal(said(again, windows[:1], prompt, 2), said(int8, windows[:1], prompt, 2))
    assert [path.suffix for path in cache.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_packed_weights_are_a_file_of_safetensors_whose_tensors_begin_with_a_line_of_the_cache(name, cache):
    if installed(name) is None:
        pytest.skip(f"the packages of {name} are not installed: make env")
    checkpoint = load_checkpoint(name, offline=True)
    mapped = packed.packed_weights(checkpoint.build, checkpoint.path)
    (file,) = cache.iterdir()
    theirs, made = load_file(file), packing.pack(checkpoint.model)
    assert mapped.keys() == theirs.keys() == made.keys()
    for key, array in mapped.items():
        assert array.dtype == theirs[key].dtype == made[key].dtype
        assert np.array_equal(array, theirs[key])
        assert np.array_equal(array, made[key])
        assert array.ctypes.data % 64 == 0
        assert not array.flags.writeable


def test_packed_weights_of_a_changed_file_are_replaced(tiny_en, tmp_path, cache):
    weights = tmp_path / "model.pt"
    for text in ("a", "longer"):
        weights.write_text(text)
        packed.packed_weights(tiny_en.build, weights)
    (kept,) = cache.iterdir()
    assert kept == packed._file(weights)


def header_without(text):
    """Damage: what the header has in place of ``text``."""
    return lambda content: content.replace(text, b"?" * len(text), 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:7],
        lambda content: content[:2000],
        lambda content: content[:-1],
        lambda content: bytes(len(content)),
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: struct.pack("<Q", 100_000) + b"[" * 100_000 + content,
        lambda content: struct.pack("<Q", 2) + b"[]" + content,
        header_without(b'"F16"'),
        header_without(b'"shape"'),
        header_without(b'"data_offsets": [0'),
    ],
)
def test_packed_weights_that_are_not_whole_are_packed_again(tiny_en, cache, caplog, damage):
    whole = packed.packed_weights(tiny_en.build, tiny_en.path)
    (file,) = cache.iterdir()
    content = file.read_bytes()
    # Beside it, since the file itself is mapped.
    with replacing(file) as damaged:
        damaged.write_bytes(damage(content))
    mended = packed.packed_weights(tiny_en.build, tiny_en.path)
    assert f"{file} is damaged" in caplog.text
    assert file.read_bytes() == content
    assert all(np.array_equal(mended[key], whole[key]) for key in whole)


def test_weights_that_are_no_numbers_are_refused(small_model):
    damaged = copy.deepcopy(small_model)
    damaged.decoder.layers[0].fc2.weight[3, 5] = torch.nan
    with pytest.raises(CheckpointInvalid, match=r"weights of decoder\.0\.feed_forward\.out are not numbers"):
        packing.pack(damaged)


def test_a_cache_that_cannot_be_written_is_done_without(tiny_en, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path / "file"))
    assert "head.weight" in packed.packed_weights(tiny_en.build, tiny_en.path)
    assert "cannot write" in caplog.text
