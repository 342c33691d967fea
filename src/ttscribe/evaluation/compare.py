"""A policy on a device against float32 PyTorch with the same weights, recording by recording."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ttscribe.audio import first_window, load_audio
from ttscribe.decoding import Rules, Runner
from ttscribe.devices import make_runner
from ttscribe.errors import ModelError
from ttscribe.evaluation.accuracy import Forced, Text
from ttscribe.evaluation.correlation import correlation
from ttscribe.evaluation.speech import Clip
from ttscribe.evaluation.words import count_errors
from ttscribe.types import FloatArray, Progress, ProgressCallback, Samples
from ttscribe.whisper.checkpoints import Checkpoint


@dataclass(frozen=True)
class _Decoding:
    """Tokens, <|endoftext|> with them where it came, and the logits [V] before each, what may not be said at -inf."""

    tokens: list[int]
    logits: list[FloatArray]


class Comparison:
    """float32 PyTorch on the CPU beside ``runner``, with a checkpoint's weights: greedy, English, no timestamps."""

    def __init__(self, checkpoint: Checkpoint, runner: Runner, model: str, policy: str) -> None:
        """``model`` and ``policy`` are what the records say."""
        self.model, self.policy = model, policy
        self._runner, self._reference = runner, make_runner("cpu", checkpoint.model)
        self._tokenizer = checkpoint.tokenizer
        self._prompt = checkpoint.tokenizer.prompt("en", "transcribe", timestamps=False)
        self._rules = Rules.of(checkpoint.suppress_tokens, checkpoint.begin_suppress_tokens, None)

    def of(self, clip: Clip, name: str) -> tuple[Forced, Text]:
        """What the two make of ``clip``, recorded under ``name``.

        Raises ModelError where logits are not numbers.
        """
        samples = load_audio(clip.path)
        fp32 = self._decode(self._reference, _encoded(self._reference, samples))
        encoded = _encoded(self._runner, samples)
        forced = self._forced(name, fp32, self._decode(self._runner, encoded, fp32.tokens))
        # Where every forced token agrees, decoding freely takes the same steps.
        said = self._decode(self._runner, encoded) if forced.margins else fp32
        decode = self._tokenizer.decode
        words, fp32_errors = count_errors(clip.text, decode(fp32.tokens))
        _, errors = count_errors(clip.text, decode(said.tokens))
        return forced, Text(self.model, self.policy, name, words, fp32_errors, errors)

    def _decode(self, runner: Runner, encoded: Any, forced: Sequence[int] | None = None) -> _Decoding:
        """To the end of the text, or of the cache; with ``forced``, those tokens whatever is likeliest."""
        state = runner.start(encoded)
        logits = runner.prefill(np.array([self._prompt]), state)[0, -1]
        decoding = _Decoding([], [])
        for position in range(len(self._prompt), runner.config.max_target_positions):
            decoding.logits.append(self._rules.apply(logits, decoding.tokens))
            token = _likeliest(decoding.logits[-1]) if forced is None else forced[len(decoding.tokens)]
            decoding.tokens.append(token)
            if token == self._tokenizer.eot:
                break
            logits = runner.decode_step(np.array([token]), np.array([position]), state)[0]
        return decoding

    def _forced(self, name: str, fp32: _Decoding, ours: _Decoding) -> Forced:
        correlations = [_pcc(mine, theirs) for mine, theirs in zip(ours.logits, fp32.logits, strict=True)]
        picked = zip(ours.logits, fp32.tokens, strict=True)
        wrong = [index for index, (logits, token) in enumerate(picked) if _likeliest(logits) != token]
        return Forced(
            self.model,
            self.policy,
            name,
            len(fp32.tokens),
            len(fp32.tokens) - len(wrong),
            [_margin(fp32.logits[index]) for index in wrong],
            statistics.fmean(correlations),
            min(correlations),
        )


def _encoded(runner: Runner, samples: Samples) -> Any:
    """Encoder states of the first window, of the features that ``runner`` takes, as a recording's are."""
    return runner.encode_condensed(first_window(samples, runner.config.num_mel_bins, runner.log_power))


def _likeliest(logits: FloatArray) -> int:
    return int(logits.argmax())


def _pcc(ours: FloatArray, theirs: FloatArray) -> float:
    """Pearson's correlation over the tokens that are allowed."""
    allowed = np.isfinite(theirs)
    pcc = correlation(torch.from_numpy(ours[allowed]), torch.from_numpy(theirs[allowed]))
    if pcc is None:
        raise ModelError("the device's logits are not numbers, or all the same: they correlate with nothing")
    return pcc


def _margin(logits: FloatArray) -> float:
    second, best = np.partition(logits, -2)[-2:]
    return float(best - second)


def compare(
    checkpoint: Checkpoint,
    runner: Runner,
    names: tuple[str, str],
    speech: Sequence[Clip],
    progress: ProgressCallback | None = None,
) -> tuple[list[Forced], list[Text]]:
    """The records of all ``speech``, under the model's and the policy's ``names``."""
    comparison = Comparison(checkpoint, runner, *names)
    total = sum(clip.seconds for clip in speech)
    done, records = 0.0, []
    for clip in speech:
        records.append(comparison.of(clip, clip.path.name))
        done += clip.seconds
        if progress is not None:
            progress(Progress(done, total))
    return [forced for forced, _ in records], [text for _, text in records]
