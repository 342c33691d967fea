"""whisper.cpp by pywhispercpp; the weights are a ggml file, in q8_0."""

import re
import time
from importlib.metadata import version
from itertools import pairwise
from statistics import median
from typing import Any

import _pywhispercpp as cpp

WINDOW = 30 * 16_000


class System:
    def __init__(self, plan: dict[str, Any]) -> None:
        context = cpp.whisper_context_default_params()
        context.use_gpu = False
        self._context = cpp.whisper_init_from_file_with_params(plan["weights"], context)
        self._threads, self._random, self._tokens = plan["threads"], plan["random"], plan["window_tokens"]

    def transcribe(self, samples: Any) -> int:
        return len(self._texts(samples, self._options()))

    def stages(self, samples: Any, count: int) -> dict[str, float]:
        """By when whisper.cpp asks which tokens it may pick: once for each token, when its logits are there."""
        asked: list[float] = []
        options = self._options(count)
        cpp.assign_logits_filter_callback(options, lambda *_: asked.append(time.perf_counter()))
        start = time.perf_counter()
        self._texts(samples[:WINDOW], options)
        cpp.whisper_pcm_to_mel(self._context, samples[:WINDOW], len(samples[:WINDOW]), self._threads)
        featured = time.perf_counter()
        cpp.whisper_encode(self._context, 0, self._threads)
        encoder = time.perf_counter() - featured
        token = median(after - before for before, after in pairwise(asked))
        return {"encoder": encoder, "first_token": asked[0] - start, "token": token}

    def about(self) -> dict[str, Any]:
        enabled = re.findall(r"(\w+) = 1", cpp.whisper_print_system_info())
        return {
            "arithmetic": "q8_0",
            "versions": f"pywhispercpp {version('pywhispercpp')}, built for {' '.join(enabled)}",
        }

    def _options(self, most: int = 0) -> Any:
        options = cpp.whisper_full_default_params(cpp.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        options.n_threads = self._threads
        options.language = "en"
        options.greedy = {"best_of": 1}
        # No other temperatures, and no doubt of what was heard.
        options.temperature_inc = 0.0
        options.no_speech_thold = 1.0
        options.print_progress = False
        options.no_timestamps = options.single_segment = self._random
        # It stops after the token of this index.
        options.max_tokens = (most or self._tokens) - 1 if self._random else 0
        return options

    def _texts(self, samples: Any, options: Any) -> list[int]:
        if cpp.whisper_full(self._context, options, samples, len(samples)):
            raise SystemExit("whisper_full failed")
        segments = range(cpp.whisper_full_n_segments(self._context))
        counts = [(segment, cpp.whisper_full_n_tokens(self._context, segment)) for segment in segments]
        return [
            cpp.whisper_full_get_token_id(self._context, segment, index)
            for segment, count in counts
            for index in range(count)
        ]
