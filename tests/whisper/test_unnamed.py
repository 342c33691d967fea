"""The model that is taken where nobody names one."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from ttscribe.errors import LanguageUnsupported, ModelNotFound, OptionError
from ttscribe.whisper.checkpoints import AvailableModel, bundled, hub, unnamed
from ttscribe.whisper.checkpoints.generation_settings import GenerationSettings, known_languages
from ttscribe.whisper.config import SIZES

PROGRAM = """
from ttscribe.whisper.checkpoints.unnamed import choose
choice = choose()
print(choice.name, choice.why)
"""


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No cache holds a model; packages may."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path


@pytest.fixture
def here(empty, monkeypatch):
    """Have these models on this machine, and no others."""

    def put(*names: str) -> None:
        models = [AvailableModel(name, "cached", empty, hub.MODELS[name].parameters) for name in names]
        monkeypatch.setattr(unnamed, "available_models", lambda: models)
        monkeypatch.setattr(hub, "available_models", lambda: models)

    return put


@pytest.mark.parametrize(
    ("models", "wish", "chosen"),
    [
        (("tiny.en", "base"), {}, "base"),
        (("small.en", "base"), {}, "small.en"),
        (("base", "base.en"), {}, "base"),
        (("base", "base.en"), {"language": "english"}, "base.en"),
        (("medium.en", "tiny", "base"), {"language": "de"}, "base"),
        (("medium.en", "base"), {"task": "translate"}, "base"),
        (("medium", "large-v3-turbo", "large-v2"), {"language": "cantonese"}, "large-v3-turbo"),
    ],
)
def test_the_largest_that_can_is_taken(here, models, wish, chosen):
    here(*models)
    choice = unnamed.choose(**wish, offline=True)
    assert choice.name == chosen
    assert choice.why.startswith("the default model, distil-large-v3, ")
    assert f"{chosen} ({hub.MODELS[chosen].parameters} M parameters, " in choice.why


def test_what_none_can_is_refused(here):
    here("medium.en")
    with pytest.raises(OptionError, match=r"distil-large-v3, does not know German, nor does a model on this machine"):
        unnamed.choose(language="de", offline=True)
    with pytest.raises(LanguageUnsupported, match="Whisper has no language 'klingon'"):
        unnamed.choose(language="klingon", offline=True)
    here()
    with pytest.raises(ModelNotFound, match=r"No model is here\. For tiny\.en and base install ttscribe"):
        unnamed.choose(offline=True)


def test_which_models_know_english_only():
    for name, size in SIZES.items():
        tokenizer = SimpleNamespace(multilingual=size.multilingual, languages=("en", "de"))
        known = known_languages(size, tokenizer, GenerationSettings(), [name])
        assert unnamed._english_only(name) == (known == ("en",)), name


def test_a_hub_that_cannot_be_reached(tmp_path):
    if None in map(bundled.installed, bundled.BUNDLES):
        pytest.skip("the weights of tiny.en and base are not installed: make env")
    caches = {"HF_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-c", PROGRAM]
    found = subprocess.run(
        command, env={**kept, **caches, "NO_PROXY": "127.0.0.1"}, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("base the default model, distil-large-v3, is not on this machine and cannot be")
    assert " downloaded (ConnectError: " in found.stdout
    assert "base (73 M parameters, multilingual) is used; for the default do it again with a network" in found.stdout


def test_the_default_is_taken_where_it_is(empty, monkeypatch):
    monkeypatch.setattr(hub, "_cached", lambda repository: empty if "distil-large-v3" in repository else None)
    assert unnamed.choose(offline=True) == unnamed.Choice("distil-large-v3", None)
