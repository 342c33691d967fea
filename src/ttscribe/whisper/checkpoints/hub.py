"""Finding a model by name: on this machine first, then on the Hugging Face hub. Needs no torch."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import constants

from ttscribe.errors import CheckpointInvalid, ModelNotFound, with_extra
from ttscribe.whisper.checkpoints import bundled
from ttscribe.whisper.json_files import read_object
from ttscribe.whisper.vocabulary import find_vocabulary

DEFAULT_MODEL = "distil-large-v3"

Where = Literal["cached", "bundled", "download", "absent"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published Whisper: its repository, CTranslate2 conversions of it, and its parameters in millions."""

    repository: str
    converted: str
    parameters: int


@dataclass(frozen=True, slots=True)
class AvailableModel:
    """A model and where it is: ``path`` where it is on this machine, ``parameters`` in millions where known.

    "absent" is one that could be downloaded were the hub not switched off.
    """

    name: str
    where: Where
    path: Path | None
    parameters: int | None


MODELS = {
    "tiny": KnownModel("openai/whisper-tiny", "Systran/faster-whisper-tiny", 38),
    "tiny.en": KnownModel("openai/whisper-tiny.en", "Systran/faster-whisper-tiny.en", 38),
    "base": KnownModel("openai/whisper-base", "Systran/faster-whisper-base", 73),
    "base.en": KnownModel("openai/whisper-base.en", "Systran/faster-whisper-base.en", 73),
    "small": KnownModel("openai/whisper-small", "Systran/faster-whisper-small", 242),
    "small.en": KnownModel("openai/whisper-small.en", "Systran/faster-whisper-small.en", 242),
    "medium": KnownModel("openai/whisper-medium", "Systran/faster-whisper-medium", 764),
    "medium.en": KnownModel("openai/whisper-medium.en", "Systran/faster-whisper-medium.en", 764),
    "large-v1": KnownModel("openai/whisper-large", "Systran/faster-whisper-large-v1", 1543),
    "large-v2": KnownModel("openai/whisper-large-v2", "Systran/faster-whisper-large-v2", 1543),
    "large-v3": KnownModel("openai/whisper-large-v3", "Systran/faster-whisper-large-v3", 1544),
    "large-v3-turbo": KnownModel("openai/whisper-large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", 809),
    "distil-small.en": KnownModel("distil-whisper/distil-small.en", "Systran/faster-distil-whisper-small.en", 166),
    "distil-medium.en": KnownModel("distil-whisper/distil-medium.en", "Systran/faster-distil-whisper-medium.en", 395),
    "distil-large-v2": KnownModel("distil-whisper/distil-large-v2", "Systran/faster-distil-whisper-large-v2", 756),
    "distil-large-v3": KnownModel("distil-whisper/distil-large-v3", "Systran/faster-distil-whisper-large-v3", 756),
    "distil-large-v3.5": KnownModel("distil-whisper/distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", 756),
}
ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")

# model-* are the shards; repositories hold the same weights in other formats too, which these leave out.
_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "vocab.json",
    "added_tokens.json",
    "vocabulary.*",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    "model.bin",
)


class NotHere(Exception):
    """A model is not on this machine and does not come from the hub: the predicate of a sentence that says so."""


def locate(name_or_path: str, *, offline: bool = False) -> Path:
    """Folder or ``.pt`` file of a model: a path, a short name, or a repository as "owner/name".

    Order: path, Hugging Face's cache (the model or its CTranslate2 conversion), OpenAI's cache, the bundled packages,
    the hub unless ``offline`` or ``HF_HUB_OFFLINE``.

    Raises:
        ModelNotFound: it is nowhere, or the hub cannot be reached; names what is here.
        CheckpointInvalid: the path is there but holds no model.
    """
    path = Path(name_or_path).expanduser()
    if _holds_model(path):
        return path
    name = canonical_name(name_or_path)
    if name in MODELS:
        return _found(name, MODELS[name].repository, offline)
    if path.exists():
        raise CheckpointInvalid(
            f"{path} is no Whisper model: give a folder with model.safetensors or model.bin, or an OpenAI .pt file"
        )
    if _REPOSITORY.fullmatch(name):
        return _found(name, name, offline)
    raise ModelNotFound(f"{name} is no file, no folder and no known model. {what_is_here()}")


def find(name: str, repository: str, *, offline: bool) -> Path:
    """Folder or file of a short name, or of another repository: on this machine, or downloaded; else raises NotHere."""
    here = (_in_caches(name) or bundled.prepare(name)) if name in MODELS else _cached(repository)
    return here or _download(repository, offline)


def canonical_name(name: str) -> str:
    """The short name without alias: "turbo" is "large-v3-turbo"; anything else unchanged."""
    return ALIASES.get(name, name)


def available_models() -> list[AvailableModel]:
    """Every short name and where it is, then other Whisper models of Hugging Face's cache. Touches no network."""
    elsewhere: Where = "absent" if constants.HF_HUB_OFFLINE else "download"
    models = []
    for name, known in MODELS.items():
        cached, bundle = _in_caches(name), bundled.installed(name)
        where: Where = "cached" if cached else "bundled" if bundle else elsewhere
        models.append(AvailableModel(name, where, cached or bundle, known.parameters))
    return models + [AvailableModel(name, "cached", path, None) for name, path in _other_cached_models()]


def local_vocabularies() -> Iterator[Path]:
    """Vocabulary files of the known models on this machine, and those that OpenAI's own package brings."""
    for name in MODELS:
        for folder in (_in_caches(name), bundled.installed(name)):
            if folder and folder.is_dir() and (file := find_vocabulary(folder)):
                yield file
    yield from bundled.openai_vocabularies()


def _found(name: str, repository: str, offline: bool) -> Path:
    try:
        return find(name, repository, offline=offline)
    except NotHere as error:
        raise ModelNotFound(f"{name} {error}. {what_is_here()}") from None


def _in_caches(name: str) -> Path | None:
    known = MODELS[name]
    # Where whisper.load_model of OpenAI's package downloads to.
    openai = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper" / f"{name}.pt"
    return _cached(known.repository) or _cached(known.converted) or (openai if openai.is_file() else None)


def _cached(repository: str) -> Path | None:
    """Snapshot of a repository in Hugging Face's cache if it is complete: an interrupted download is not."""
    # By hand, as try_to_load_from_cache does it (a test compares the two): the client's own look-up imports its HTTP
    # client, 0.4 s in which `ttscribe models` would be done, and says nothing of a snapshot that is incomplete.
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / constants.DEFAULT_REVISION).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if _is_complete(snapshot) else None


def _other_cached_models() -> Iterator[tuple[str, Path]]:
    known = {name for model in MODELS.values() for name in (model.repository, model.converted)}
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        repository = folder.name.removeprefix("models--").replace("--", "/", 1)
        if repository not in known and (path := _cached(repository)) and _is_whisper(path):
            yield repository, path


def _holds_model(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in ("config.json", "model.bin", "model.safetensors"))
    return path.suffix == ".pt" and path.is_file()


def _is_complete(folder: Path) -> bool:
    # A model.bin tells its shapes itself, and CTranslate2 wrote no config.json with version 5.
    files = {"model.bin"} if (folder / "model.bin").is_file() else {"config.json", *_safetensors(folder)}
    return find_vocabulary(folder) is not None and all((folder / name).is_file() for name in files)


def _safetensors(folder: Path) -> set[str]:
    shards = _values(folder / "model.safetensors.index.json").get("weight_map")
    return {str(name) for name in shards.values()} if isinstance(shards, dict) else {"model.safetensors"}


def _is_whisper(folder: Path) -> bool:
    values = _values(folder / "config.json")
    # CTranslate2's config.json names no architecture, but only Whisper's has this key.
    return values.get("model_type") == "whisper" or "suppress_ids_begin" in values


def _values(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except CheckpointInvalid:
        return {}


def _download(repository: str, offline: bool) -> Path:
    if offline or constants.HF_HUB_OFFLINE:
        raise NotHere("is not on this machine and downloads are switched off")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=list(_FILES)))
    except Exception as error:  # noqa: BLE001 - the client lets through those of its HTTP and transfer libraries
        reason = _reason(error)
    raise NotHere(f"is not on this machine and cannot be downloaded ({reason})")


def _reason(error: BaseException) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return "its owner asks for a login: hf auth login"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such model, or it is private: hf auth login"
    # The client wraps a network failure in an advice of several lines.
    cause = error.__cause__ or error
    first_line = str(cause).split("\n", 1)[0].strip()
    return f"{type(cause).__name__}: {first_line}" if first_line else type(cause).__name__


def what_is_here() -> str:
    """Which models are on this machine and how to get others, for the end of a message."""
    names = [model.name for model in available_models() if model.path]
    here = f"Here: {', '.join(names)}." if names else "No model is here."
    return f"{here} For {' and '.join(bundled.BUNDLES)} {with_extra('bundled')}; `ttscribe models` lists all"
