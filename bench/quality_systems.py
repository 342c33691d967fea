"""The recognisers that are compared for what they write: the same weights, float32, the same options.

Each imports its library only when it is made. ``openai-whisper`` and ``faster-whisper`` come with ``ttscribe[peers]``.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch

from ttscribe.types import Samples
from ttscribe.whisper.checkpoints import Checkpoint, load_checkpoint
from ttscribe.whisper.checkpoints.hub import locate
from ttscribe.whisper.checkpoints.openai import dimensions, our_name

# Earlier text is no context, since it is none in ttscribe unless asked for; all else is each one's own default.
COMMON: Mapping[str, Any] = {"condition_on_previous_text": False}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "greedy": {"beam_size": 1},
    "beam 5": {"beam_size": 5},
    "voice activity": {"beam_size": 1, "vad_filter": True},
}


class Heard(NamedTuple):
    """A segment: seconds from the recording's start, its text, its tokens without timestamps."""

    start: float
    end: float
    text: str
    tokens: tuple[int, ...]


class System(Protocol):
    """A loaded model."""

    def transcribe(self, samples: Samples, language: str, options: Mapping[str, Any]) -> list[Heard]:
        """Mono 16 kHz samples to segments; ``options`` are named as faster-whisper names them."""


class Ttscribe:
    def __init__(self, model: str) -> None:
        from ttscribe import load_model

        self._model = load_model(model, precision="float32", offline=True)

    def transcribe(self, samples: Samples, language: str, options: Mapping[str, Any]) -> list[Heard]:
        segments, _ = self._model.transcribe(samples, sample_rate=16_000, language=language, **COMMON, **options)
        eot = self._model.checkpoint.tokenizer.eot
        return [Heard(each.start, each.end, each.text, _text(each.tokens, eot)) for each in segments]


class FasterWhisper:
    def __init__(self, model: str) -> None:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped]

        # The packages that carry weights carry them in CTranslate2's format.
        self._model = WhisperModel(str(locate(model)), device="cpu", compute_type="float32")

    def transcribe(self, samples: Samples, language: str, options: Mapping[str, Any]) -> list[Heard]:
        segments, _ = self._model.transcribe(samples, language=language, **COMMON, **options)
        eot = self._model.hf_tokenizer.token_to_id("<|endoftext|>")
        return [Heard(each.start, each.end, each.text.strip(), _text(each.tokens, eot)) for each in segments]


def openai_model(checkpoint: Checkpoint) -> Any:
    """OpenAI's own model with a checkpoint's weights."""
    from whisper.model import ModelDimensions, Whisper  # type: ignore[import-untyped]

    model = Whisper(ModelDimensions(**dimensions(checkpoint.config)))
    weights = checkpoint.model.state_dict()
    model.load_state_dict({name: weights[our_name(name)] for name in model.state_dict()})
    return model.eval()


class OpenAI:
    def __init__(self, model: str) -> None:
        checkpoint = load_checkpoint(model, offline=True)
        self._model = openai_model(checkpoint)
        self._eot = checkpoint.tokenizer.eot

    def transcribe(self, samples: Samples, language: str, options: Mapping[str, Any]) -> list[Heard]:
        from whisper import transcribe

        # A search of one row is its beam search too. Five texts at temperatures above 0 is its command's default.
        theirs = {"beam_size": None if options["beam_size"] == 1 else options["beam_size"], "best_of": 5}
        with torch.inference_mode():
            result = transcribe(self._model, samples, language=language, fp16=False, **COMMON, **theirs)
        return [
            Heard(each["start"], each["end"], each["text"].strip(), _text(each["tokens"], self._eot))
            for each in result["segments"]
        ]


def _text(tokens: Any, eot: int) -> tuple[int, ...]:
    return tuple(token for token in tokens if token < eot)


@dataclass(frozen=True, slots=True)
class Entry:
    """How a system is made, and the settings that it has."""

    make: Callable[[str], System]
    settings: Collection[str]


SYSTEMS: Mapping[str, Entry] = {
    "ttscribe": Entry(Ttscribe, SETTINGS),
    "faster-whisper": Entry(FasterWhisper, SETTINGS),
    "openai-whisper": Entry(OpenAI, ("greedy", "beam 5")),
}
