"""How windows are decoded, and what is doubted: the options of ``transcribe`` that every device honours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ttscribe.errors import OptionError

LONGEST = 24 * 3600.0
"""Seconds of a recording, where nobody says: what lasts longer has probably no end."""

OPENING = "\"'“¿([{-"
"""Signs that belong to the word that follows them, as OpenAI's whisper lists them."""

CLOSING = "\"'.。,，!！?？:：”)]}、"
"""Signs that belong to the word before them."""

CHECKPOINTS_OWN = -1
"""Among ``suppress_tokens``: the list that comes with the checkpoint, of signs that are not spoken."""


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """What ``Transcriber.transcribe`` takes beside the recording, under the names of faster-whisper.

    Attributes:
        temperature: tried in this order until a window passes the checks; 0 takes the likeliest token, or searches with
            beams, above it tokens are sampled. A number alone is one try.
        compression_ratio_threshold: bytes of a window's text over those that zlib makes of it, above which the text
            repeats itself and is doubted. None looks for no repetition and lets a window loop.
        log_prob_threshold: mean natural-log probability of a window's tokens below which it is tried again; None: no.
        no_speech_threshold: probability of <|nospeech|> above which a window may be silence; None asks for no speech.
        beam_size: rows of the beam search at temperature 0; 1 takes the likeliest token.
        patience: of the beam search, which ends at ``round(beam_size * patience)`` texts (arXiv:2204.05424).
        best_of: texts sampled at each temperature above 0, of which the likeliest is taken.
        length_penalty: texts are ranked by log probability over ``((5 + tokens) / 6) ** length_penalty``, 0 to 1; None
            ranks by the mean.
        repetition_penalty: above 1 makes tokens that the window has less likely: logits above 0 are divided by it,
            others multiplied.
        no_repeat_ngram_size: no series of so many text tokens comes twice in a window; 0 allows it.
        suppress_tokens: ids never picked; -1 stands for the checkpoint's own list. Special tokens never are.
        max_initial_timestamp: seconds within which a window's first segment starts; None: as the checkpoint says.
        initial_prompt: earlier text, by which names and style are taken from; for the first window, and those after it
            with ``condition_on_previous_text``.
        carry_initial_prompt: gives the initial prompt to every window, before the earlier text.
        hotwords: words to expect, given to every window before the earlier text.
        prefix: what the first window's text begins with; the transcript has it.
        condition_on_previous_text: gives each window the text before it, but for what was sampled above 0.5.
        seed: of sampling: the same seed gives the same text.
    """

    temperature: float | Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio_threshold: float | None = 2.4
    log_prob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    beam_size: int = 1
    patience: float = 1.0
    best_of: int = 5
    length_penalty: float | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    suppress_tokens: Sequence[int] = (CHECKPOINTS_OWN,)
    max_initial_timestamp: float | None = None
    initial_prompt: str | None = None
    carry_initial_prompt: bool = False
    hotwords: str | None = None
    prefix: str | None = None
    condition_on_previous_text: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises OptionError for a value that makes no sense."""
        ladder = (self.temperature,) if isinstance(self.temperature, int | float) else tuple(self.temperature)
        object.__setattr__(self, "temperature", ladder)
        object.__setattr__(self, "suppress_tokens", tuple(self.suppress_tokens))
        _require(bool(ladder), "temperature must have at least one value")
        for value in ladder:
            _require(_within(value, 0, 1), f"temperature must be 0 to 1, not {value!r}")
        _require(list(ladder) == sorted(set(ladder)), f"temperatures must rise, not {_listed(ladder)}")
        for name, least in (("beam_size", 1), ("best_of", 1), ("no_repeat_ngram_size", 0), ("seed", 0)):
            value = getattr(self, name)
            _require(
                type(value) is int and value >= least, f"{name} must be a whole number from {least}, not {value!r}"
            )
        _require(
            _within(self.no_speech_threshold, 0, 1),
            f"no_speech_threshold must be 0 to 1, not {self.no_speech_threshold!r}",
        )
        _require(
            _within(self.log_prob_threshold, -math.inf, 0),
            f"log_prob_threshold is a logarithm, at most 0, not {self.log_prob_threshold!r}",
        )
        _require(_within(self.length_penalty, 0, 1), f"length_penalty must be 0 to 1, not {self.length_penalty!r}")
        for name in ("compression_ratio_threshold", "patience", "repetition_penalty"):
            value = getattr(self, name)
            optional = name == "compression_ratio_threshold"
            _require(
                (optional and value is None) or (value is not None and _within(value, 0, math.inf) and value > 0),
                f"{name} must be above 0, not {value!r}",
            )
        _require(
            round(self.beam_size * self.patience) >= 1,
            f"beams of {self.beam_size} with patience {self.patience} find no text",
        )
        _require(
            _within(self.max_initial_timestamp, 0, 30),
            f"max_initial_timestamp must be 0 to 30 s, not {self.max_initial_timestamp!r}",
        )
        for token in self.suppress_tokens:
            _require(type(token) is int and token >= CHECKPOINTS_OWN, f"suppress_tokens are ids, or -1, not {token!r}")

    @property
    def ladder(self) -> tuple[float, ...]:
        """``temperature``, as a tuple also where one number was given."""
        return tuple(self.temperature)  # type: ignore[arg-type]

    @classmethod
    def plain(cls) -> DecodingOptions:
        """The likeliest token at every step, once, and nothing doubted."""
        return cls(temperature=0.0, compression_ratio_threshold=None, log_prob_threshold=None, no_speech_threshold=None)

    def changed(self, **changes: Any) -> DecodingOptions:
        """These with other values for some; OptionError for a name that is none of them."""
        known = [field.name for field in fields(self)]
        for name in changes:
            _require(name in known, f"no option is called {name!r}; there is {', '.join(known)}")
        return replace(self, **changes)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise OptionError(problem)


def _within(value: float | None, least: float, most: float) -> bool:
    return value is None or (isinstance(value, int | float) and least <= value <= most)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(map(str, values))


@dataclass(frozen=True, slots=True)
class VadOptions:
    """What counts as speech for Silero VAD, under the names of faster-whisper and with its values.

    Attributes:
        threshold: probability from which on 32 ms are speech; it ends below it by 0.15.
        min_speech_duration_ms: shorter speech is none.
        min_silence_duration_ms: a shorter pause does not end a span of speech.
        speech_pad_ms: by which spans are longer at each end.
    """

    threshold: float = 0.5
    min_speech_duration_ms: float = 0
    min_silence_duration_ms: float = 2000
    speech_pad_ms: float = 400

    def __post_init__(self) -> None:
        """Raises OptionError for a value that makes no sense."""
        _require(
            isinstance(self.threshold, int | float) and 0 < self.threshold < 1,
            f"vad threshold must be between 0 and 1, not {self.threshold!r}",
        )
        for name in ("min_speech_duration_ms", "min_silence_duration_ms", "speech_pad_ms"):
            value = getattr(self, name)
            _require(
                isinstance(value, int | float) and 0 <= value < math.inf,
                f"vad {name} must be 0 or more milliseconds, not {value!r}",
            )
