"""The systems that are compared, behind one interface. Each imports its library only when it is made.

All decode greedily with the same rules: English given, timestamps asked for, no fallback to other temperatures, no
condition on earlier text, no filter for silence. Random weights never end a text, so for them each window of 30 s gets
exactly ``TOKENS`` tokens, without timestamps.
"""

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ttscribe.types import Samples
TOKENS = 32
"""Tokens of a window with random weights, and of the measurement of a token."""

RATE = 16_000
WINDOW = 30 * RATE


class Timed:
    """A function that keeps the seconds that each call took, and the last result."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.seconds: list[float] = []
        self.result: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        self.result = self.function(*args, **kwargs)
        self.seconds.append(time.perf_counter() - start)
        return self.result


class System(Protocol):
    """A loaded model. ``encoder`` notes each window's pass through the encoder."""

    encoder: Timed

    def transcribe(self, samples: "Samples") -> int:
        """Mono 16 kHz samples to text; returns how many tokens the text has, timestamps included."""

    def decode(self, states: Any, count: int) -> int:
        """Decode ``count`` tokens from the encoder's result, the end of the text forbidden; returns how many came."""


class Ttscribe:
    def __init__(self, folder: Path, threads: int, random: bool) -> None:
        from ttscribe import DecodingOptions, load_model
        from ttscribe.decoding import Prompt, Rules

        self._transcriber = load_model(str(folder), threads=threads, offline=True)
        self._timestamps = not random
        # What is asked of the others: the likeliest tokens, once, nothing doubted.
        self._options = DecodingOptions.plain()
        checkpoint, runner = self._transcriber.checkpoint, self._transcriber.runner
        tokenizer = checkpoint.tokenizer
        tokens = tokenizer.prompt("en")
        self._prompt = Prompt(tokens, tokens.index(tokenizer.sot), tokenizer.eot, tokenizer.no_speech)
        text_only = (*checkpoint.suppress_tokens, *range(tokenizer.eot, tokenizer.vocab_size))
        self._rules = Rules.of(text_only, checkpoint.begin_suppress_tokens, None)
        if random:
            self._transcriber.checkpoint = replace(checkpoint, suppress_tokens=text_only)
            runner.config = self._limit(TOKENS)
        self.encoder = Timed(runner.encode)
        runner.encode = self.encoder  # type: ignore[method-assign]

    def transcribe(self, samples: "Samples") -> int:
        segments, _ = self._transcriber.transcribe(
            samples,
            sample_rate=RATE,
            language="en",
            timestamps=self._timestamps,
            options=self._options,
        )
        return sum(len(segment.tokens) for segment in segments)

    def decode(self, states: Any, count: int) -> int:
        from ttscribe.decoding import decode_greedily
        from ttscribe.devices.cpu import CpuRunner

        runner = CpuRunner(self._transcriber.checkpoint.model)
        runner.config = self._limit(count)
        (decoded,) = decode_greedily(runner, runner.start(states), self._prompt, self._rules)
        return len(decoded.tokens)

    def _limit(self, count: int) -> Any:
        # Decoding stops at the end of the cache that the configuration names; the model's own cache stays whole.
        config = self._transcriber.checkpoint.config
        return replace(config, max_target_positions=len(self._prompt.tokens) + count)


class Transformers:
    def __init__(self, folder: Path, threads: int, random: bool) -> None:
        import torch
        from tokenizers import Tokenizer
        from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

        torch.set_num_threads(threads)
        self._model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self._extract = WhisperFeatureExtractor.from_pretrained(folder)
        self._texts = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._random = random
        config: Any = self._model.generation_config
        self._first_special, self._no_timestamps = config.eos_token_id, config.no_timestamps_token_id
        self._text_only = [*config.suppress_tokens, *range(self._first_special, self._model.config.vocab_size)]
        encoder = self._model.get_encoder()
        self.encoder = Timed(encoder.forward)
        encoder.forward = self.encoder

    def transcribe(self, samples: "Samples") -> int:
        if not self._random:
            return self._count(self._generate(**self._features(samples), return_timestamps=True))
        starts = range(0, len(samples), WINDOW)
        windows = (self._features(samples[start : start + WINDOW]) for start in starts)
        return sum(self._count(self._fixed(TOKENS, **window)) for window in windows)

    def decode(self, states: Any, count: int) -> int:
        return self._count(self._fixed(count, encoder_outputs=states))

    def _features(self, samples: "Samples") -> Any:
        how: dict[str, Any] = {"truncation": False, "padding": "longest"} if len(samples) > WINDOW else {}
        return self._extract(samples, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True, **how)

    def _fixed(self, count: int, **inputs: Any) -> list[int]:
        return self._generate(**inputs, suppress_tokens=self._text_only, max_new_tokens=count)

    def _generate(self, **options: Any) -> list[int]:
        tokens: list[int] = self._model.generate(**options, language="en", task="transcribe")[0].tolist()
        return tokens

    def _count(self, tokens: list[int]) -> int:
        # What generate returns may begin with the prompt and end with the end-of-text; the others count these neither.
        kept = [token for token in tokens if token < self._first_special or token > self._no_timestamps]
        self._texts.decode(kept)
        return len(kept)


class FasterWhisper:
    def __init__(self, folder: Path, threads: int, random: bool, *, compute_type: str) -> None:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped]
        from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]

        self._model = WhisperModel(str(folder), device="cpu", compute_type=compute_type, cpu_threads=threads)
        tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual=True, task="transcribe", language="en")
        self._prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        vocab_size = len(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))
        self._text_only = [-1, *range(tokenizer.eot, vocab_size)]
        more = self._max_length(TOKENS) - len(self._prompt)
        fixed = {"without_timestamps": True, "max_new_tokens": more, "suppress_tokens": self._text_only}
        self._options = fixed if random else {}
        self.encoder = Timed(self._model.encode)
        self._model.encode = self.encoder

    def transcribe(self, samples: "Samples") -> int:
        segments, _ = self._model.transcribe(
            samples,
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            **self._options,
        )
        return sum(len(segment.tokens) for segment in segments)

    def decode(self, states: Any, count: int) -> int:
        result = self._model.model.generate(
            states,
            [self._prompt],
            beam_size=1,
            max_length=self._max_length(count),
            suppress_tokens=self._text_only,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return len(result[0].sequences_ids[0])

    def _max_length(self, count: int) -> int:
        # CTranslate2 counts the prompt but for its last token, and gives new tokens at most half of the whole.
        return max(2 * count, len(self._prompt) - 1 + count)


@dataclass(frozen=True, slots=True)
class Entry:
    """How a system is made, and the format of the folder that it reads: a step of ``speed_prepare.py``."""

    weights: str
    make: Callable[[Path, int, bool], System]


SYSTEMS = {
    "ttscribe": Entry("huggingface", Ttscribe),
    "transformers": Entry("huggingface", Transformers),
    "faster-whisper-float32": Entry("ctranslate2", functools.partial(FasterWhisper, compute_type="float32")),
    "faster-whisper-int8": Entry("ctranslate2", functools.partial(FasterWhisper, compute_type="int8")),
}
OURS = "ttscribe"
