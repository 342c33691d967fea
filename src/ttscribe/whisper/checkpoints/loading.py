"""One call for every format."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ttscribe.errors import OptionError
from ttscribe.whisper.checkpoints import ctranslate2, huggingface, openai
from ttscribe.whisper.checkpoints.generation_settings import known_languages
from ttscribe.whisper.checkpoints.hub import canonical_name, locate
from ttscribe.whisper.checkpoints.parts import Parts
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.tokenizer import Tokenizer

if TYPE_CHECKING:
    from ttscribe.whisper.model import WhisperModel

# https://github.com/openai/whisper says that it "is not trained for translation tasks" and may not translate.
_TURBO_SHAPE = (32, 4, 1280)
_DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model, with all that decoding needs to know of it.

    ``name`` is the short name, the repository or the file's name; ``path`` the folder or file that was read; ``build``
    reads the weights, and gives the same model whenever it is called; ``languages`` the codes of what the weights know;
    ``max_initial_timestamp_index`` counts steps of 0.02 s; ``alignment_heads`` are (decoder layer, head), None where
    the checkpoint does not say.
    """

    name: str
    path: Path
    config: WhisperConfig
    build: Callable[[], WhisperModel]
    tokenizer: Tokenizer
    suppress_tokens: tuple[int, ...]
    begin_suppress_tokens: tuple[int, ...]
    max_initial_timestamp_index: int
    languages: tuple[str, ...]
    alignment_heads: tuple[tuple[int, int], ...] | None

    @property
    def model(self) -> WhisperModel:
        """The model for inference, whose weights are read when it is first asked for.

        Raises:
            CheckpointInvalid: they are damaged, incomplete or not those of ``config``.
        """
        return self.build()

    @property
    def translates(self) -> bool:
        """Whether the weights were trained to translate: not those of English-only models, nor of large-v3-turbo.

        The latter is told by its shape, which no other published model has, so that its conversions are known too.
        """
        shape = (self.config.encoder_layers, self.config.decoder_layers, self.config.d_model)
        return self.languages != ("en",) and shape != _TURBO_SHAPE


def load_checkpoint(
    name_or_path: str | os.PathLike[str], *, dtype: str | None = "float32", offline: bool = False
) -> Checkpoint:
    """Load a model from a path, a short name such as "base", or a repository as "owner/name".

    The weights are read when ``Checkpoint.model`` is first asked for.

    Args:
        name_or_path: Folder of Hugging Face's or CTranslate2's format, OpenAI's ``.pt`` file, or a name.
        dtype: "float32", "bfloat16" or "float16"; None leaves each weight as it is stored. Weights stored so stay in
            the mapped file.
        offline: Never ask the hub.

    Raises:
        OptionError: ``dtype`` is another.
        ModelNotFound: it is not on this machine and cannot be downloaded.
        CheckpointInvalid: it is damaged, incomplete or not Whisper, as far as that is known without the weights.
        VocabularyMismatch: the tokenizer belongs to other weights.
        OutputError: a bundled model cannot be put together in the cache folder.
    """
    if dtype is not None and dtype not in _DTYPES:
        raise OptionError(f"weights can be float32, bfloat16 or float16, not {dtype}")
    path = locate(os.fspath(name_or_path), offline=offline)
    parts = _reader(path)(path)
    name = _name(os.fspath(name_or_path), path)
    settings, tokenizer = parts.settings, parts.tokenizer
    names = (name, _own_name(path), parts.original_name)
    return Checkpoint(
        name=name,
        path=path,
        config=parts.config,
        build=_Building(parts, dtype),
        tokenizer=tokenizer,
        suppress_tokens=_within(settings.suppress_tokens, tokenizer.default_suppress_tokens, tokenizer.vocab_size),
        begin_suppress_tokens=_within(
            settings.begin_suppress_tokens, tokenizer.default_begin_suppress_tokens, tokenizer.vocab_size
        ),
        max_initial_timestamp_index=settings.max_initial_timestamp_index,
        languages=known_languages(parts.config, tokenizer, settings, names),
        alignment_heads=settings.alignment_heads,
    )


def _reader(path: Path) -> Callable[[Path], Parts]:
    if path.is_file():
        return openai.read
    # Both formats have a config.json.
    return ctranslate2.read if (path / "model.bin").is_file() else huggingface.read


class _Building:
    """Gives the model of ``parts``, which are let go of when it is built; threads get the same one."""

    def __init__(self, parts: Parts, dtype: str | None) -> None:
        self._parts, self._dtype = parts, dtype
        self._lock = threading.Lock()
        self._model: WhisperModel | None = None

    def __call__(self) -> WhisperModel:
        with self._lock:
            if self._model is None:
                from ttscribe.whisper.checkpoints.assembly import build_model

                self._model = build_model(self._parts, self._dtype)
                del self._parts
            return self._model


def _name(given: str, path: Path) -> str:
    return _own_name(path) if Path(given).expanduser() == path else canonical_name(given)


def _own_name(path: Path) -> str:
    """What a path calls the model: "owner/name" within Hugging Face's cache, else the name of the file or folder."""
    path = path.absolute()
    # The hub's cache has models--OWNER--NAME/snapshots/COMMIT.
    if path.parent.name == "snapshots":
        return path.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
    return path.stem if path.is_file() else path.resolve().name


def _within(tokens: tuple[int, ...] | None, default: Callable[[], tuple[int, ...]], vocab_size: int) -> tuple[int, ...]:
    # A token beyond the vocabulary can never come, so there is nothing to suppress.
    return default() if tokens is None else tuple(token for token in tokens if token < vocab_size)
