"""Hugging Face's transformers: float32, or with the linear layers in PyTorch's dynamic int8."""

import warnings
from importlib.metadata import version
from typing import Any

import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

RATE = 16_000
WINDOW = 30 * RATE


class System:
    def __init__(self, plan: dict[str, Any]) -> None:
        folder = plan["weights"]
        torch.set_num_threads(plan["threads"])
        self._setting, self._random, self._tokens = plan["setting"], plan["random"], plan["window_tokens"]
        self._model: Any = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        config: Any = self._model.generation_config
        self._task = {"language": "en", "task": "transcribe"} if config.is_multilingual else {}
        self._first_special, self._no_timestamps = config.eos_token_id, config.no_timestamps_token_id
        self._text_only = [*config.suppress_tokens, *range(self._first_special, self._model.config.vocab_size)]
        self._extract = WhisperFeatureExtractor.from_pretrained(folder)
        if self._setting == "int8":
            self._model = _in_int8(self._model)

    def transcribe(self, samples: Any) -> int:
        if not self._random:
            return self._count(self._generate(**self._inputs(samples), return_timestamps=True))
        starts = range(0, len(samples), WINDOW)
        windows = (self._inputs(samples[start : start + WINDOW]) for start in starts)
        return sum(self._count(self._fixed(self._tokens, **window)) for window in windows)

    def features(self, samples: Any) -> Any:
        return self._inputs(samples[:WINDOW])

    def encode(self, features: Any) -> Any:
        with torch.inference_mode():
            return self._model.get_encoder()(features["input_features"])

    def decode(self, states: Any, count: int) -> int:
        return self._count(self._fixed(count, encoder_outputs=states))

    def about(self) -> dict[str, Any]:
        versions = ", ".join(f"{package} {version(package)}" for package in ("transformers", "torch"))
        return {"arithmetic": self._setting, "versions": versions}

    def _inputs(self, samples: Any) -> Any:
        how: dict[str, Any] = {"truncation": False, "padding": "longest"} if len(samples) > WINDOW else {}
        return self._extract(samples, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True, **how)

    def _fixed(self, count: int, **inputs: Any) -> list[int]:
        return self._generate(**inputs, suppress_tokens=self._text_only, max_new_tokens=count)

    def _generate(self, **options: Any) -> list[int]:
        tokens: list[int] = self._model.generate(**options, **self._task)[0].tolist()
        return tokens

    def _count(self, tokens: list[int]) -> int:
        # What generate returns may begin with the prompt and end with the end-of-text; the others count these neither.
        return sum(token < self._first_special or token > self._no_timestamps for token in tokens)


def _in_int8(model: Any) -> Any:
    quantization: Any = torch.ao.quantization
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still what PyTorch itself offers for a CPU
        return quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
