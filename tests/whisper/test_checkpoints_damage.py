"""A damaged, incomplete or foreign checkpoint gives one line that names what is wrong."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ttscribe.errors import CheckpointInvalid, ModelError, ModelNotFound, VocabularyMismatch
from ttscribe.whisper.checkpoints import load_checkpoint


@pytest.fixture
def folder(hf_folder: Path, tmp_path: Path) -> Path:
    """A copy of a good checkpoint, to be damaged."""
    return Path(shutil.copytree(hf_folder, tmp_path / "model"))


@pytest.fixture
def converted(convert: Callable[[str], Path]) -> Path:
    """CTranslate2's form of it, to be damaged."""
    return convert("int8")


def refusal(path: Path, kind: type[ModelError] = CheckpointInvalid) -> str:
    """Of a checkpoint."""
    with pytest.raises(kind) as caught:
        load_checkpoint(path)
    line = str(caught.value)
    assert "\n" not in line
    return line


def refusal_of_weights(path: Path) -> str:
    """Of the weights alone, when they are read; asked for again they are refused again."""
    checkpoint = load_checkpoint(path)
    lines = []
    for _ in range(2):
        with pytest.raises(CheckpointInvalid) as caught:
            _ = checkpoint.model
        lines.append(str(caught.value))
    assert "\n" not in lines[0]
    assert lines[0] == lines[1]
    return lines[0]


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    line = refusal(folder)
    assert name in line
    assert "incomplete" in line


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b'{"half": ', b"\xff\xfe\x00", b"[1, 2]", b"[" * 100_000])
def test_bad_json_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert str(folder / name) in refusal(folder)


@pytest.mark.parametrize("keep", [0, 4, 200, -1])
def test_truncated_safetensors(folder: Path, keep: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    assert "model.safetensors is damaged or was not downloaded completely" in refusal_of_weights(folder)


def test_missing_tensor_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.decoder.layers.1.fc1.bias"], tensors["model.decoder.layers.1.fc2.bias"]
    save_file(tensors, folder / "model.safetensors")
    assert refusal_of_weights(folder).endswith("is incomplete: it has no decoder.layers.1.fc1.bias and 1 more")


def test_wrong_shape_is_named(folder: Path) -> None:
    change(folder / "config.json", max_source_positions=31)
    line = refusal_of_weights(folder)
    assert "encoder.embed_positions.weight should have the shape [31, 16] but has [30, 16]" in line


def test_unknown_tensor_is_named(folder: Path) -> None:
    change(folder / "config.json", decoder_layers=1)
    assert "decoder.layers.1." in refusal_of_weights(folder)


def test_integers_are_no_weights(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.encoder.conv1.bias"] = tensors["model.encoder.conv1.bias"].to(torch.int8)
    save_file(tensors, folder / "model.safetensors")
    assert "encoder.conv1.bias is torch.int8" in refusal_of_weights(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("model_type", "wav2vec2"), ("model_type", None), ("activation_function", "relu"), ("scale_embedding", True)],
)
def test_other_architecture(folder: Path, key: str, value: Any) -> None:
    change(folder / "config.json", **{key: value})
    assert f"{key} is {value!r}" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("suppress_tokens", "all"),
        ("begin_suppress_tokens", [1.5]),
        ("alignment_heads", [[1, 2, 3]]),
        ("max_initial_timestamp_index", -1),
        ("is_multilingual", "no"),
        ("language", 7),
    ],
)
def test_wrong_setting_is_named(folder: Path, key: str, value: Any) -> None:
    change(folder / "generation_config.json", **{key: value})
    assert f"{key} cannot be {value!r}" in refusal(folder)


def test_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"model.a": "model-00001-of-00002.safetensors", "model.b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert "no model-00002-of-00002.safetensors, one of its shards" in refusal(folder)


def test_pickled_weights_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "only pytorch_model.bin, which may hold code" in refusal(folder)


def test_tokenizer_of_another_model(folder: Path, base_data: Path) -> None:
    shutil.copy(base_data / "tokenizer.json", folder)
    assert "<|endoftext|> at 50257, weights with 51864 tokens have it at 50256" in refusal(folder, VocabularyMismatch)


@pytest.mark.parametrize("part", [0.0, 0.00001, 0.001, 0.5, 0.999])
def test_truncated_ctranslate2(converted: Path, part: float) -> None:
    file = converted / "model.bin"
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * part)])
    assert str(file) in refusal(converted)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\x06\0\0\0", b"\x04\0\0\0", "versions 5 or 6"),
        (b"WhisperSpec", b"MarianXSpec", "is MarianXSpec, not Whisper"),
        (b"decoder/embeddings/weight\0", b"decoder/embeddings/wEight\0", "no decoder/embeddings/weight"),
        (b"encoder/conv1/bias\0\x01\x10", b"encoder/conv1/bias\0\x01\x11", "encoder/conv1/bias of shape [17] has 64"),
    ],
)
def test_damaged_ctranslate2(converted: Path, old: bytes, new: bytes, message: str) -> None:
    exchange(converted / "model.bin", old, new)
    assert message in refusal(converted)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"encoder/conv1/bias\0", b"encoder/conv1/bIas\0", "no encoder.conv1.bias"),
        (b"encoder/conv2/weight_scale\0", b"encoder/conv2/weight_xcale\0", "encoder/conv2/weight is quantised but"),
    ],
)
def test_damaged_ctranslate2_weights(converted: Path, old: bytes, new: bytes, message: str) -> None:
    exchange(converted / "model.bin", old, new)
    assert message in refusal_of_weights(converted)


def exchange(file: Path, old: bytes, new: bytes) -> None:
    raw = file.read_bytes()
    assert old in raw
    file.write_bytes(raw.replace(old, new, 1))


def test_ctranslate2_without_vocabulary(converted: Path) -> None:
    for file in (*converted.glob("vocabulary.*"), *converted.glob("tokenizer.json")):
        file.unlink()
    assert "has no tokenizer.json or vocabulary.json" in refusal(converted)


class _Runs:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pt_that_would_run_code_is_refused(openai_state: dict[str, object], tmp_path: Path) -> None:
    file, trace = tmp_path / "evil.pt", tmp_path / "it-ran"
    torch.save({**openai_state, "extra": _Runs(trace)}, file)
    assert "is refused" in refusal(file)
    assert not trace.exists()


def test_plain_pickle_is_refused(tmp_path: Path) -> None:
    file, trace = tmp_path / "evil.pt", tmp_path / "it-ran"
    file.write_bytes(pickle.dumps(_Runs(trace)))
    assert "is refused" in refusal(file)
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0, 10, 5000, -100])
def test_truncated_pt(openai_state: dict[str, object], tmp_path: Path, keep: int) -> None:
    file = tmp_path / "short.pt"
    torch.save(openai_state, file)
    file.write_bytes(file.read_bytes()[:keep])
    assert str(file) in refusal(file)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "no dims and model_state_dict"),
        ({"model_state_dict": {}}, "no dims and model_state_dict"),
        ({"dims": {"n_mels": 80}, "model_state_dict": {}}, "dims lack n_vocab"),
    ],
)
def test_pt_of_something_else(tmp_path: Path, values: Any, message: str) -> None:
    torch.save(values, tmp_path / "other.pt")
    assert message in refusal(tmp_path / "other.pt")


def test_pt_with_a_missing_tensor(openai_state: dict[str, Any], tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in openai_state["model_state_dict"].items() if name != "decoder.ln.bias"}
    torch.save({**openai_state, "model_state_dict": state}, tmp_path / "model.pt")
    assert "it has no decoder.layer_norm.bias" in refusal_of_weights(tmp_path / "model.pt")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert "is no Whisper model: give a folder with" in refusal(tmp_path)


def test_a_file_that_is_no_model(folder: Path) -> None:
    assert "is no Whisper model: give a folder with" in refusal(folder / "model.safetensors")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert "is no file, no folder and no known model" in refusal(tmp_path / "nothing", ModelNotFound)
