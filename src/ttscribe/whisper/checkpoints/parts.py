"""What the reader of a format gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ttscribe.whisper.checkpoints.generation_settings import GenerationSettings
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Parts:
    """All of a checkpoint, of which weights are read when they are asked for.

    ``tensors`` gives pairs of a name, Hugging Face's without "model.", and the tensor as stored; each is read when it
    is taken, so that weights that are converted are never in memory twice. ``origin`` is the file or folder that errors
    name; ``original_name`` what the checkpoint calls itself, or "".
    """

    origin: Path
    config: WhisperConfig
    tensors: Callable[[], Iterable[tuple[str, Tensor]]]
    tokenizer: Tokenizer
    settings: GenerationSettings
    original_name: str = ""
