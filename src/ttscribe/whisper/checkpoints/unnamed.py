"""Which model to take where nobody names one: the default, or else the best that is on this machine. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from huggingface_hub import constants

from ttscribe.errors import ModelNotFound, OptionError
from ttscribe.whisper.checkpoints.hub import (
    DEFAULT_MODEL,
    MODELS,
    NotHere,
    available_models,
    find,
    what_is_here,
)
from ttscribe.whisper.languages import LANGUAGES, language_code

CANTONESE = ("large-v3", "large-v3-turbo")


@dataclass(frozen=True, slots=True)
class Choice:
    """The model's name, and why it is not the default and what it is instead, in one line; None where it is."""

    name: str
    why: str | None


def choose(*, language: str | None = None, task: str = "transcribe", offline: bool = False) -> Choice:
    """The default model, downloaded where need be; where it cannot be had or cannot do that, the largest one here.

    Raises:
        ModelNotFound: the default cannot be had, and no model here can do that.
        OptionError: the default cannot do that, nor can a model here.
        LanguageUnsupported: Whisper has no such language.
    """
    code = None if language is None else language_code(language)
    able = [name for name in MODELS if _can(name, code, task)]
    if DEFAULT_MODEL not in able:
        wish = "translate" if task == "translate" else f"know {LANGUAGES[str(code)].title()}"
        problem = f"the default model, {DEFAULT_MODEL}, does not {wish}"
        if best := _largest_here(able, code):
            return Choice(best, f"{problem}: {_described(best)} is used; --model names another, such as large-v3")
        raise OptionError(f"{problem}, nor does a model on this machine: --model names one, such as large-v3")
    try:
        find(DEFAULT_MODEL, MODELS[DEFAULT_MODEL].repository, offline=offline)
    except NotHere as error:
        problem = f"the default model, {DEFAULT_MODEL}, {error}"
        if best := _largest_here(able, code):
            return Choice(best, f"{problem}: {_described(best)} is used; for the default {_remedy(offline=offline)}")
        raise ModelNotFound(f"{problem}. {what_is_here()}") from None
    return Choice(DEFAULT_MODEL, None)


def _can(name: str, code: str | None, task: str) -> bool:
    if task == "translate" or code not in (None, "en"):
        return not _english_only(name) and (code != "yue" or name in CANTONESE)
    return True


def _english_only(name: str) -> bool:
    return name.endswith(".en") or name.startswith("distil-")


def _largest_here(able: list[str], code: str | None) -> str | None:
    """Of two of a size the English one for English, else the one that can tell which language it hears."""
    here = {model.name: model.parameters or 0 for model in available_models() if model.path and model.name in able}
    return max(here, key=lambda name: (here[name], _english_only(name) == (code == "en")), default=None)


def _described(name: str) -> str:
    knows = "English only" if _english_only(name) else "multilingual"
    return f"{name} ({MODELS[name].parameters} M parameters, {knows})"


def _remedy(*, offline: bool) -> str:
    if offline:
        return "leave --offline away once"
    if constants.HF_HUB_OFFLINE:
        return "unset HF_HUB_OFFLINE once"
    return "do it again with a network, or see 'Without a network' in docs/install.md"
