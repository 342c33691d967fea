"""Which tokens may come next: suppression and the grammar of timestamps, as OpenAI's decoder has them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttscribe.decoding.probabilities import log_sum_exp, softmax
from ttscribe.errors import ModelError
from ttscribe.types import FloatArray, IntArray
from ttscribe.whisper.tokenizer import Tokenizer

FORBIDDEN = -math.inf


@dataclass(frozen=True, slots=True)
class TimestampGrammar:
    """Timestamps come in pairs, never decrease, and start the window within ``max_initial_index`` steps of 20 ms.

    ``begin`` is the id of <|0.00|>, ``end_of_text`` of <|endoftext|>, ``no_timestamps`` of <|notimestamps|>.
    """

    begin: int
    end_of_text: int
    no_timestamps: int
    max_initial_index: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, max_initial_index: int) -> "TimestampGrammar":
        """The grammar of a tokenizer's ids."""
        return cls(tokenizer.timestamp_begin, tokenizer.eot, tokenizer.no_timestamps, max_initial_index)

    def apply(self, logits: FloatArray, sampled: Sequence[int]) -> None:
        """Forbid, in place, what may not follow ``sampled`` in ``logits`` [V]."""
        text, times = self.allowed(sampled, len(logits))
        logits[self.no_timestamps] = FORBIDDEN
        logits[: text.start] = FORBIDDEN
        logits[text.stop : times.start] = FORBIDDEN
        logits[times.stop :] = FORBIDDEN
        self._prefer_timestamp(logits)

    def allowed(self, sampled: Sequence[int], vocabulary: int) -> tuple[range, range]:
        """The text tokens and the timestamps that may follow ``sampled``; but never ``no_timestamps``."""
        if not sampled:
            last = self.begin + self.max_initial_index
            return range(self.begin, self.begin), range(self.begin, min(last + 1, vocabulary))
        earliest, opens, closes = self.standing(sampled)
        text = range(self.end_of_text if opens else 0, self.begin)
        return text, range(vocabulary if closes else earliest, vocabulary)

    def standing(self, sampled: Sequence[int]) -> tuple[int, bool, bool]:
        """The first timestamp that may come after ``sampled``, and whether its last token opens a pair, or closes one.

        The first token of a window is a timestamp that opens a segment by itself, with no other before it: after it it
        is as after a pair.
        """
        is_last = sampled[-1] >= self.begin
        closes = is_last and (len(sampled) < 2 or sampled[-2] >= self.begin)
        opens = is_last and not closes
        latest = next((token for token in reversed(sampled) if token >= self.begin), self.begin - 1)
        # A pair may repeat its time; anything else must move on, or <|0.00|> could come for ever.
        return latest if opens else latest + 1, opens, closes

    def _prefer_timestamp(self, logits: FloatArray) -> None:
        """Where timestamps together are likelier than the likeliest text token, one of them it is."""
        # The probability that it is time for a timestamp is spread over 1,501 of them (OpenAI's ApplyTimestampRules).
        if log_sum_exp(logits[self.begin :]) > logits[: self.begin].max():
            logits[: self.begin] = FORBIDDEN


@dataclass(frozen=True, slots=True)
class RepetitionRules:
    """What a window has said already comes less easily again, text only: times and the end are left as they are.

    Logits of such tokens are divided by ``penalty`` where they are above 0 and multiplied by it elsewhere, as in CTRL
    (arXiv:1909.05858). With ``ngram_size`` no series of so many text tokens comes twice. Text is below ``end_of_text``.
    """

    penalty: float
    ngram_size: int
    end_of_text: int

    @property
    def asks_anything(self) -> bool:
        """Whether any token is changed by them."""
        return self.penalty != 1 or self.ngram_size > 0

    def apply(self, logits: FloatArray, sampled: Sequence[int]) -> None:
        """Penalise and forbid, in place, what repeats ``sampled`` in ``logits`` [V]."""
        text = [token for token in sampled if token < self.end_of_text]
        said = _index(sorted({*text}))
        logits[said] = np.where(logits[said] > 0, logits[said] / self.penalty, logits[said] * self.penalty)
        if self.ngram_size:
            logits[_index(self._completing(text))] = FORBIDDEN

    def _completing(self, text: list[int]) -> list[int]:
        """The tokens that came where the text stood as it stands now."""
        before = self.ngram_size - 1
        starts = range(len(text) - before)
        return [text[at + before] for at in starts if text[at : at + before] == text[len(text) - before :]]


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of one decoding. ``timestamps`` is None where the prompt asked for none."""

    suppress: IntArray
    begin_suppress: IntArray
    timestamps: TimestampGrammar | None
    repetition: RepetitionRules | None = None

    @classmethod
    def of(
        cls,
        suppress: Sequence[int],
        begin_suppress: Sequence[int],
        timestamps: TimestampGrammar | None,
        repetition: RepetitionRules | None = None,
    ) -> "Rules":
        """Rules of token ids: those never picked, and those not picked first."""
        return cls(_index(suppress), _index(begin_suppress), timestamps, repetition)

    def only_suppress(self, tokens: Sequence[int]) -> bool:
        """Whether, after the first token and but for timestamps, all that is asked is never to pick ``tokens``."""
        return self.repetition is None and {*self.suppress.tolist()} == {*tokens}

    def pick(self, logits: FloatArray, sampled: Sequence[int]) -> tuple[int, float]:
        """The likeliest token of ``logits`` [V] that may follow ``sampled``, and its natural-log probability.

        The probability is among the allowed tokens. Raises ModelError where the logits are not numbers.
        """
        allowed = self.apply(logits, sampled)
        token = int(allowed.argmax())
        return token, require_number(allowed[token].item() - log_sum_exp(allowed))

    def sample(
        self, logits: FloatArray, sampled: Sequence[int], temperature: float, generator: np.random.Generator
    ) -> tuple[int, float]:
        """A token drawn at ``temperature`` among those that may follow ``sampled``, and its log probability at 1."""
        logprobs = self.logprobs(logits, sampled)
        shares = softmax(logprobs / temperature).cumsum(dtype=np.float64)
        # The last is their sum, which rounding has left near 1.
        token = int(shares.searchsorted(generator.random() * shares[-1], side="right"))
        return token, logprobs[token].item()

    def logprobs(self, logits: FloatArray, sampled: Sequence[int]) -> FloatArray:
        """Natural-log probabilities [V] of what may follow ``sampled``: minus infinity for what may not."""
        allowed = self.apply(logits, sampled)
        total = log_sum_exp(allowed)
        require_number(allowed.max().item() - total)
        return allowed - np.float32(total)

    def apply(self, logits: FloatArray, sampled: Sequence[int]) -> FloatArray:
        """``logits`` [V] without the tokens that may not follow ``sampled``, as a new array."""
        logits = logits.copy()
        if self.repetition is not None:
            self.repetition.apply(logits, sampled)
        logits[self.suppress] = FORBIDDEN
        if not sampled:
            logits[self.begin_suppress] = FORBIDDEN
        if self.timestamps is not None:
            self.timestamps.apply(logits, sampled)
        return logits


def require_number(logprob: float) -> float:
    """A log probability; ModelError where it is not a number."""
    if math.isnan(logprob):
        raise ModelError("the model's output is not a number (overflow, or damaged weights); try --precision float32")
    return logprob


def _index(tokens: Sequence[int]) -> IntArray:
    return np.array(tuple(tokens), dtype=np.int64)
