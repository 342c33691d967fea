"""Weights as TT-NN's host conversion makes them, and converted ones kept on disk."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from ttscribe.compiler.operations.rounding import rounded
from ttscribe.compiler.program import DType, TensorSpec
from ttscribe.devices.ttnn.calls import Calls
from ttscribe.devices.ttnn.mock import mock_environment
from ttscribe.devices.ttnn.weights import WeightCache
from ttscribe.files import TEMPORARY

DTYPES = (DType.BFLOAT8_B, DType.BFLOAT16)

PUTS = """
import sys
import torch, ttnn
from ttscribe.devices.ttnn.weights import WeightCache

def convert():
    print("converting", flush=True)
    sys.stdin.readline()
    return ttnn.from_torch(torch.full((2048, 2048), 3.0), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT)

WeightCache(__import__("pathlib").Path(sys.argv[1]), ttnn).get("key", convert)
"""


def matrices(layer):
    return {name: tensor for name, tensor in layer.state_dict().items() if tensor.dim() == 2}


@pytest.fixture
def converted(ttnn):
    """A tensor through the host conversion of a device, read back."""
    no_device = SimpleNamespace(compute_with_storage_grid_size=lambda: None)
    calls = Calls(ttnn, no_device)
    return lambda data, dtype: ttnn.to_torch(calls.host_tensor(data, TensorSpec(tuple(data.shape), dtype))).float()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_matrices_of_a_first_layer_are_rounded_as_the_emulator_rounds(tiny_en, converted, side, dtype):
    weights = matrices(getattr(tiny_en.model, side).layers[0])
    assert len(weights) == {"encoder": 6, "decoder": 10}[side]
    for name, weight in weights.items():
        for data in (weight, weight.T):
            assert torch.equal(converted(data, dtype), rounded(data.contiguous(), dtype)), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_token_embedding_is_rounded_as_the_emulator_rounds(tiny_en, converted, dtype):
    weight = tiny_en.model.decoder.embed_tokens.weight.detach()
    assert torch.equal(converted(weight, dtype), rounded(weight, dtype))


class Conversions:
    """A conversion that counts how often it is asked for; ``data`` is what it gives, on the host."""

    def __init__(self, ttnn):
        self.data = torch.randn(64, 96, generator=torch.Generator().manual_seed(0)).bfloat16()
        self.ttnn, self.count = ttnn, 0

    def __call__(self):
        self.count += 1
        return self.ttnn.from_torch(self.data, dtype=self.ttnn.bfloat16, layout=self.ttnn.TILE_LAYOUT)


@pytest.fixture
def convert(ttnn):
    return Conversions(ttnn)


@pytest.fixture
def cache(ttnn, tmp_path):
    return WeightCache(tmp_path / "weights", ttnn)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_second_get_converts_nothing(cache, convert, ttnn):
    first, second = cache.get("key", convert), cache.get("key", convert)
    assert convert.count == 1
    assert torch.equal(ttnn.to_torch(first), convert.data)
    assert torch.equal(ttnn.to_torch(second), convert.data)
    assert names(cache.folder) == ["key.digest", "key.tensorbin"]


def test_another_process_finds_what_one_has_converted(cache, convert, ttnn):
    cache.get("key", convert)
    WeightCache(cache.folder, ttnn).get("key", convert)
    assert convert.count == 1


def test_other_keys_are_other_tensors(cache, convert):
    cache.get("one", convert)
    cache.get("other", convert)
    assert convert.count == 2
    assert names(cache.folder) == ["one.digest", "one.tensorbin", "other.digest", "other.tensorbin"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:7],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: bytes(len(whole)),
        lambda whole: b"not a tensor at all",
        lambda whole: whole[:8] + bytes(byte ^ 0xFF for byte in whole[8:64]) + whole[64:],
        lambda whole: whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
    ],
    ids=["empty", "7 bytes", "half", "all but a byte", "zeros", "text", "damaged header", "one bit of the data"],
)
def test_a_damaged_file_is_made_again(cache, convert, ttnn, damage):
    cache.get("key", convert)
    path = cache.folder / "key.tensorbin"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert torch.equal(ttnn.to_torch(cache.get("key", convert)), convert.data)
    assert convert.count == 2
    assert path.read_bytes() == whole


def test_what_another_process_left_half_written_is_not_read(cache, convert, ttnn):
    cache.folder.mkdir()
    (cache.folder / f"{TEMPORARY}19.tensorbin").write_bytes(b"half")
    assert torch.equal(ttnn.to_torch(cache.get("key", convert)), convert.data)
    assert convert.count == 1


def test_what_was_abandoned_days_ago_is_removed(cache, convert):
    cache.folder.mkdir()
    left, fresh = cache.folder / f"{TEMPORARY}17.tensorbin", cache.folder / f"{TEMPORARY}18.tensorbin"
    left.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(left, (0, 0))
    cache.get("key", convert)
    assert not left.exists()
    assert fresh.exists()


def test_a_conversion_that_is_interrupted_leaves_nothing(cache, convert):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get("key", interrupted)
    assert not cache.folder.exists()
    cache.get("key", convert)
    assert convert.count == 1


def test_a_write_that_is_interrupted_leaves_nothing(tmp_path, convert, ttnn):
    class Interrupted:
        def dump_tensor(self, path, tensor):
            path.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        WeightCache(tmp_path, Interrupted()).get("key", convert)
    assert names(tmp_path) == []
    WeightCache(tmp_path, ttnn).get("key", convert)
    assert convert.count == 2


def test_a_disk_that_is_full_leaves_nothing(tmp_path, convert):
    class Full:
        def dump_tensor(self, path, tensor):
            path.write_bytes(b"half")
            raise RuntimeError("No space left on device")

    with pytest.raises(RuntimeError, match="No space left"):
        WeightCache(tmp_path, Full()).get("key", convert)
    assert names(tmp_path) == []


def test_two_processes_that_write_the_same_at_once_leave_one_good_file(ttnn, tmp_path):
    command, pipes = [sys.executable, "-c", PUTS, str(tmp_path)], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    environment = mock_environment("n150")
    with (
        subprocess.Popen(command, env=environment, text=True, **pipes) as one,
        subprocess.Popen(command, env=environment, text=True, **pipes) as other,
    ):
        for process in (one, other):
            assert process.stdout.readline() == "converting\n"
        for process in (one, other):
            process.stdin.write("\n")
            process.stdin.flush()
    assert (one.returncode, other.returncode) == (0, 0)
    assert names(tmp_path) == ["key.digest", "key.tensorbin"]
    assert ttnn.to_torch(ttnn.load_tensor(tmp_path / "key.tensorbin")).eq(3).all()
