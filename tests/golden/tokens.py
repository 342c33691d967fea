"""What Hugging Face's transformers hears in the clips: the files MODEL.jsonl, a line for each clip and task."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from golden.clips import FOLDER, Clip, clips

MODELS = ("tiny.en", "base")


@dataclass(frozen=True)
class Golden:
    """One transcript.

    ``ids`` are its tokens without special ones and times. ``times`` are the start and end of each segment in seconds
    and how many of the tokens are its own, of a recording over 30 s; shorter ones were decoded without timestamps.
    ``errors`` are the wrong words and all words of the text that is said, of read and long English.
    ``detected`` are the likeliest language and its probability, of a multilingual model and up to 30 s.
    """

    clip: str
    task: str
    language: str
    text: str
    ids: tuple[int, ...]
    times: tuple[tuple[float, float, int], ...] | None = None
    errors: tuple[int, int] | None = None
    detected: tuple[str, float] | None = None

    @property
    def of(self) -> Clip:
        return clips()[self.clip]


@cache
def golden(model: str) -> tuple[Golden, ...]:
    """Every transcript of a model, in the order of the manifest."""
    _, *lines = _path(model).read_text(encoding="utf-8").splitlines()
    return tuple(Golden(**{name: _frozen(value) for name, value in json.loads(line).items()}) for line in lines)


def write(model: str, made_with: Mapping[str, str], transcripts: Iterable[Golden]) -> None:
    """Replace a model's file; ``made_with`` are the versions that gave the transcripts."""
    lines: list[Mapping[str, Any]] = [{"model": model, **made_with}]
    lines += [{name: value for name, value in asdict(each).items() if value is not None} for each in transcripts]
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    _path(model).write_text(text, encoding="utf-8")


def _path(model: str) -> Path:
    return FOLDER / f"{model}.jsonl"


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
