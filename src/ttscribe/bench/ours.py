"""ttscribe itself, as ``peers/worker.py`` measures a system."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from ttscribe import DecodingOptions, __version__, load_model
from ttscribe.audio import SAMPLE_RATE, WINDOW_SAMPLES, first_window
from ttscribe.decoding import Picks, Rules

# Decoding goes on whatever comes: no token has this id.
_NO_END = -1


class System:
    """A model on a device, transcribing as the peers are asked to: the likeliest tokens, once, nothing doubted."""

    def __init__(self, plan: dict[str, Any]) -> None:
        weights, device, threads = plan["weights"], plan["device"], plan["threads"]
        self._transcriber = load_model(weights, device=device, threads=threads, precision=plan["setting"], offline=True)
        self._runner, self._checkpoint = self._transcriber.runner, self._transcriber.checkpoint
        self._prompt = self._checkpoint.tokenizer.prompt("en")
        self._rules = Rules.of(self._checkpoint.suppress_tokens, self._checkpoint.begin_suppress_tokens, None)
        self._timestamps = not plan["random"]
        if plan["random"]:
            # A text ends where the cache that the configuration names does; the device's own cache stays whole.
            positions = len(self._prompt) + plan["window_tokens"]
            self._runner.config = replace(self._checkpoint.config, max_target_positions=positions)

    def transcribe(self, samples: Any) -> int:
        segments, _ = self._transcriber.transcribe(
            samples,
            sample_rate=SAMPLE_RATE,
            language="en",
            timestamps=self._timestamps,
            options=DecodingOptions.plain(),
        )
        return sum(len(segment.tokens) for segment in segments)

    def features(self, samples: Any) -> Any:
        bins = self._checkpoint.config.num_mel_bins
        return first_window(samples[:WINDOW_SAMPLES], bins, self._runner.log_power)

    def encode(self, features: Any) -> Any:
        return self._runner.encode(features)

    def decode(self, states: Any, count: int) -> int:
        state = self._runner.start(states)
        logits = self._runner.prefill(np.array([self._prompt]), state)
        token, logprob = self._rules.pick(logits[0, -1], [])
        picked = Picks([token], [logprob])
        self._runner.greedy([picked], len(self._prompt), state, self._rules, limit=count, end=_NO_END)
        return len(picked.tokens)

    def about(self) -> dict[str, Any]:
        # Not imported for this: in int8 ttscribe does without.
        torch = f", torch {version('torch')}" if "torch" in sys.modules else ""
        return {"arithmetic": self._runner.precision, "versions": f"ttscribe {__version__}{torch}"}
