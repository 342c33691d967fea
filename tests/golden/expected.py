"""What a model is expected to say, of both sets: the recordings of every clone, and the reference clips."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from golden.tokens import Golden, golden
from places import SPEECH
from ttscribe.types import Samples


@dataclass(frozen=True)
class Expected:
    """A transcript that Hugging Face's transformers gives.

    ``said`` is the text that was read; ``ids`` are the transcript's tokens, of the reference clips with timestamps;
    ``times`` and ``errors`` are those of ``Golden``. ``long`` ones were decoded with timestamps, others without.
    """

    model: str
    name: str
    kind: str
    language: str
    task: str
    said: str
    audio: Callable[[], Path | Samples]
    long: bool
    ids: tuple[int, ...]
    times: tuple[tuple[float, float, int], ...] | None = None
    errors: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.model}-{self.name}" + ("" if self.task == "transcribe" else f"-{self.task}")


def travelling(model: str) -> list[Expected]:
    """Of the recordings that every clone has."""
    return [_travelling(model, each) for each in golden(model)]


def _travelling(model: str, each: Golden) -> Expected:
    clip = each.of
    long = clip.kind == "long"
    of_clip = (clip.name, clip.kind, clip.language, each.task, clip.text, clip.audio, long)
    return Expected(model, *of_clip, each.ids, each.times, each.errors)


@cache
def reference(model: str) -> list[Expected]:
    """Of the reference clips; none where they are not."""
    if not (SPEECH / "manifest.tsv").is_file():
        return []
    with (SPEECH / "manifest.tsv").open(encoding="utf-8", newline="") as manifest:
        said = {row["file"]: row["text"] for row in csv.DictReader(manifest, delimiter="\t")}
    lines = (SPEECH / f"golden_{model}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_reference(model, said, json.loads(line)) for line in lines]


def _reference(model: str, said: dict[str, str], line: dict) -> Expected:
    audio = partial(Path, SPEECH, line["file"])
    of_clip = (Path(line["file"]).stem, line["kind"], line["lang"], "transcribe", said[line["file"]])
    return Expected(model, *of_clip, audio, line["long"], tuple(line["ids"]))
