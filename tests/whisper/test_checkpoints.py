"""Every format gives the weights that were written, by the programs that write them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from ttscribe.errors import OptionError
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint
from ttscribe.whisper.tokenizer import Tokenizer

Weights = dict[str, torch.Tensor]


def assert_weights(checkpoint: Checkpoint, weights: Weights) -> None:
    loaded = checkpoint.model.state_dict()
    assert loaded.keys() == weights.keys() - {"proj_out.weight"}
    different = [name for name in loaded if not torch.equal(loaded[name], weights[name])]
    assert not different


def ct2_dequantised(name: str, weight: torch.Tensor, scale: Callable[[np.ndarray], np.ndarray]) -> torch.Tensor:
    rows = weight.numpy().reshape(len(weight), -1)
    factor = scale(rows)
    return torch.from_numpy(np.rint(rows * factor) / factor).reshape(weight.shape)


def test_hugging_face_folder(hf_folder: Path, weights: Weights) -> None:
    checkpoint = load_checkpoint(hf_folder)
    assert_weights(checkpoint, weights)
    assert checkpoint.name == "tiny-random"
    assert checkpoint.config.decoder_ffn_dim == 64
    assert checkpoint.config.max_target_positions == 20
    assert not checkpoint.model.training
    assert not any(parameter.requires_grad for parameter in checkpoint.model.parameters())


def test_the_model_is_built_once(hf_folder: Path) -> None:
    checkpoint = load_checkpoint(hf_folder)
    with ThreadPoolExecutor(4) as pool:
        models = {*pool.map(lambda _: checkpoint.model, range(4)), checkpoint.model}
    assert len(models) == 1


@pytest.mark.parametrize("kind", ["hugging face", "ctranslate2"])
def test_all_but_the_weights_is_read_without_torch(
    hf_folder: Path, convert: Callable[[str], Path], kind: str, weights: Weights
) -> None:
    folder = hf_folder if kind == "hugging face" else convert("float16")
    code = """
import sys
from ttscribe.whisper.checkpoints import load_checkpoint
checkpoint = load_checkpoint(sys.argv[1])
checkpoint.tokenizer.encode("Fail better.")
print(checkpoint.config.d_model, "torch" in sys.modules)
print(len(checkpoint.model.state_dict()), "torch" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert result.stdout == f"16 False\n{len(weights.keys() - {'proj_out.weight'})} True\n"


def test_model_gives_the_logits_of_transformers(hf_folder: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    reference = WhisperForConditionalGeneration.from_pretrained(hf_folder).eval()
    model = load_checkpoint(str(hf_folder)).model
    mel = torch.randn(1, 80, 60, generator=torch.Generator().manual_seed(1))
    tokens = torch.tensor([[50257, 50362, 220, 11]])
    with torch.no_grad():
        expected = reference(input_features=mel, decoder_input_ids=tokens).logits
        state = model.new_state(model.cross_kv(model.encode(mel)))
        torch.testing.assert_close(model.prefill(tokens, state), expected, atol=1e-5, rtol=1e-5)


def test_sharded_folder(hf_folder: Path, weights: Weights, tmp_path: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    WhisperForConditionalGeneration.from_pretrained(hf_folder).save_pretrained(tmp_path, max_shard_size="20KB")
    shutil.copy(hf_folder / "tokenizer.json", tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert_weights(load_checkpoint(tmp_path), weights)


def test_tied_projection_in_the_file_is_ignored(hf_folder: Path, weights: Weights, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    shutil.copytree(hf_folder, tmp_path, dirs_exist_ok=True)
    tied = {f"model.{name}": tensor for name, tensor in weights.items()}
    save_file(
        {**tied, "proj_out.weight": weights["decoder.embed_tokens.weight"].clone()}, tmp_path / "model.safetensors"
    )
    assert_weights(load_checkpoint(tmp_path), weights)


def test_generation_config_is_optional(hf_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(hf_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").unlink()
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.suppress_tokens == checkpoint.tokenizer.default_suppress_tokens()
    assert checkpoint.begin_suppress_tokens == (220, 50256)
    assert checkpoint.max_initial_timestamp_index == 50
    assert checkpoint.alignment_heads is None


def test_generation_config_is_followed(hf_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(hf_folder, tmp_path, dirs_exist_ok=True)
    values = {
        "suppress_tokens": [3, 5, 51864],
        "begin_suppress_tokens": None,
        "max_initial_timestamp_index": 25,
        "alignment_heads": [[1, 0]],
    }
    (tmp_path / "generation_config.json").write_text(json.dumps(values))
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.suppress_tokens == (3, 5)
    assert checkpoint.begin_suppress_tokens == ()
    assert checkpoint.max_initial_timestamp_index == 25
    assert checkpoint.alignment_heads == ((1, 0),)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtype(hf_folder: Path, weights: Weights, dtype: str) -> None:
    kind = getattr(torch, dtype)
    expected = {name: tensor.to(kind) for name, tensor in weights.items()}
    checkpoint = load_checkpoint(hf_folder, dtype=dtype)
    assert_weights(checkpoint, expected)
    assert {tensor.dtype for tensor in checkpoint.model.state_dict().values()} == {kind}


def test_other_dtypes_are_refused(hf_folder: Path) -> None:
    with pytest.raises(OptionError, match=r"float32, bfloat16 or float16, not float64"):
        load_checkpoint(hf_folder, dtype="float64")


@pytest.mark.parametrize(
    ("quantization", "dtype"), [("float32", torch.float32), ("float16", torch.float16), ("bfloat16", torch.bfloat16)]
)
def test_ctranslate2(convert: Callable[[str], Path], weights: Weights, quantization: str, dtype: torch.dtype) -> None:
    expected = {name: tensor.to(dtype).float() for name, tensor in weights.items()}
    checkpoint = load_checkpoint(convert(quantization))
    assert_weights(checkpoint, expected)
    assert checkpoint.config.encoder_attention_heads == 2


@pytest.mark.parametrize(
    ("quantization", "scale"),
    [
        ("int8", lambda rows: 127 / np.abs(rows).max(axis=1, keepdims=True)),
        ("int16", lambda rows: np.float32(2**10 / np.abs(rows).max())),
    ],
)
def test_quantised_ctranslate2(
    convert: Callable[[str], Path], weights: Weights, quantization: str, scale: Callable[[np.ndarray], np.ndarray]
) -> None:
    loaded = load_checkpoint(convert(quantization)).model.state_dict()
    for name in (
        "encoder.layers.1.fc1.weight",
        "decoder.layers.0.encoder_attn.q_proj.weight",
        "decoder.embed_tokens.weight",
    ):
        torch.testing.assert_close(loaded[name], ct2_dequantised(name, weights[name], scale), atol=1e-6, rtol=1e-5)
    for name, tensor in loaded.items():
        # Half a step of the coarser, per-row int8.
        assert (tensor - weights[name]).abs().max() <= weights[name].abs().max() / 127, name


def test_ctranslate2_version_5_has_no_config(convert: Callable[[str], Path], weights: Weights) -> None:
    folder = convert("float32")
    (folder / "config.json").unlink()
    raw = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(b"\x05" + raw[1:])
    checkpoint = load_checkpoint(folder)
    assert_weights(checkpoint, weights)
    assert checkpoint.suppress_tokens == checkpoint.tokenizer.default_suppress_tokens()


def test_ctranslate2_vocabulary_serves_without_tokenizer_json(convert: Callable[[str], Path]) -> None:
    folder = convert("float16")
    (folder / "tokenizer.json").unlink()
    tokenizer = load_checkpoint(folder).tokenizer
    assert tokenizer.decode(tokenizer.encode(" Ten of clubs.")) == " Ten of clubs."


def test_matching_dtype_stays_in_the_mapped_file(convert: Callable[[str], Path]) -> None:
    folder = convert("float16")
    size = (folder / "model.bin").stat().st_size
    tensors = load_checkpoint(folder, dtype="float16").model.state_dict().values()
    assert any(tensor.untyped_storage().nbytes() == size for tensor in tensors)


@pytest.mark.parametrize("zipped", [True, False])
def test_openai_file(openai_state: dict[str, object], weights: Weights, tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "mine.pt"
    torch.save(openai_state, path, _use_new_zipfile_serialization=zipped)
    checkpoint = load_checkpoint(path)
    assert_weights(checkpoint, weights)
    assert checkpoint.name == "mine"
    assert checkpoint.languages == ("en",)
    # The tokenizer was borrowed from a model on this machine.
    assert checkpoint.tokenizer.decode([838, 286, 9784, 13, 50256]) == " 10 of clubs."


def test_openai_file_prefers_the_tokenizer_beside_it(
    openai_state: dict[str, object], tiny_en_folder: Path, tmp_path: Path
) -> None:
    torch.save(openai_state, tmp_path / "mine.pt")
    lines = (tiny_en_folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    lines[9380], lines[9381] = lines[9381], lines[9380]
    (tmp_path / "vocabulary.txt").write_text("\n".join(lines), encoding="utf-8")
    borrowed = Tokenizer.from_file(tiny_en_folder / "vocabulary.txt", 51864)
    assert load_checkpoint(tmp_path / "mine.pt").tokenizer.decode([9381]) == borrowed.decode([9380])


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_bundled_models_are_what_they_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ttscribe.whisper.checkpoints import bundled
    from ttscribe.whisper.config import WhisperConfig

    if bundled.installed(name) is None:
        pytest.skip(f"the packages of {name} are not installed: make env")
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path))
    checkpoint = load_checkpoint(name, offline=True)
    assert checkpoint.name == name
    assert checkpoint.config == WhisperConfig.named(name)
    assert len(checkpoint.languages) == (1 if name == "tiny.en" else 99)
    assert checkpoint.suppress_tokens == checkpoint.tokenizer.default_suppress_tokens()
    assert len(checkpoint.alignment_heads or ()) == 8
    # Whisper's encoder positions are sinusoids: cos(0) = 1 in the second half of the first row.
    half = checkpoint.config.d_model // 2
    torch.testing.assert_close(checkpoint.model.encoder.embed_positions.weight[0, half:], torch.ones(half))
