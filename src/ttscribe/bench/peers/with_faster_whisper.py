"""faster-whisper: CTranslate2 in float32 or int8."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer

WINDOW = 30 * 16_000


class System:
    def __init__(self, plan: dict[str, Any]) -> None:
        folder, count = Path(plan["weights"]), plan["window_tokens"]
        self._model = WhisperModel(
            str(folder), device="cpu", compute_type=plan["setting"], cpu_threads=plan["threads"], local_files_only=True
        )
        multilingual = self._model.model.is_multilingual
        tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language="en")
        self._prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        vocab_size = len(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))
        self._text_only = [-1, *range(tokenizer.eot, vocab_size)]
        more = self._max_length(count) - len(self._prompt)
        fixed = {"without_timestamps": True, "max_new_tokens": more, "suppress_tokens": self._text_only}
        self._options: dict[str, Any] = fixed if plan["random"] else {}

    def transcribe(self, samples: Any) -> int:
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

    def features(self, samples: Any) -> Any:
        features = self._model.feature_extractor(samples[:WINDOW], padding=160)
        frames = self._model.feature_extractor.nb_max_frames
        return np.pad(features, ((0, 0), (0, max(0, frames - features.shape[1]))))[:, :frames]

    def encode(self, features: Any) -> Any:
        return self._model.encode(features)

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

    def about(self) -> dict[str, Any]:
        versions = ", ".join(f"{package} {version(package)}" for package in ("faster-whisper", "ctranslate2"))
        return {"arithmetic": self._model.model.compute_type, "versions": versions}

    def _max_length(self, count: int) -> int:
        # CTranslate2 counts the prompt but for its last token, and gives new tokens at most half of the whole.
        return max(2 * count, len(self._prompt) - 1 + count)
