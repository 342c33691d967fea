"""Steps that pick the next token themselves, so that a device goes from token to token without the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from ttscribe.compiler.program import TILE_SIZE
from ttscribe.compiler.vocabulary import centred
from ttscribe.whisper.config import ENGLISH_VOCABULARY
from ttscribe.whisper.model import DecoderState, WhisperModel
from ttscribe.whisper.tokenizer import special_tokens

# Finite in bfloat16, and so far below any logit that its probability is zero.
SUPPRESSED = -1e9
# Logits of a token are a row of 1,600 tiles, of each of which 31 rows are padding, and TT-NN's sums and maxima along
# rows have one core for a row of tiles. As 32 rows they are 50 full tiles; as 64, which are two cores' work, where the
# vocabulary need not be filled up further for it.
_ROWS = (64, TILE_SIZE)


class GreedyStep(nn.Module):
    """One greedy step that needs nothing from the host: decode, suppress, pick, and make ready for the next."""

    suppress: Tensor

    def __init__(self, model: WhisperModel, suppress: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        # A sum, where the host writes minus infinity at these tokens: the compiler makes it the bias of the projection.
        self.register_buffer("suppress", _filled(_suppressed(model, suppress), SUPPRESSED))

    def forward(self, token: Tensor, position: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """Token [B] at position [B] to the next token [B] and its probability [B] among those that are allowed.

        Token and position are made ready for the next step in place.
        """
        states = self.model.step_states(token, position, state)
        weight, _ = centred(self.model)
        logits = functional.linear(states, _filled(weight)) + self.suppress
        following = logits.argmax(-1)
        rows = _in_rows(logits, len(token))
        probability = _total((rows - _largest(rows)).exp()).reciprocal()
        token.copy_(following)
        position.add_(1)
        return following, _flat(probability)


@dataclass(frozen=True, slots=True)
class TimestampIds:
    """Of a vocabulary whose last tokens are the timestamps: ``begin`` is the id of <|0.00|>.

    Text is below ``end_of_text``; ``no_timestamps`` is the id of <|notimestamps|>.
    """

    begin: int
    end_of_text: int
    no_timestamps: int


@cache
def timestamp_ids(vocab_size: int) -> TimestampIds:
    """Where Whisper's vocabulary of this size has them; of a smaller one, cut or made up, in its second half."""
    if vocab_size < ENGLISH_VOCABULARY:
        return TimestampIds(vocab_size // 2, vocab_size // 2 - 2, vocab_size // 2 - 1)
    known = special_tokens(vocab_size)
    return TimestampIds(*(known[name] for name in ("<|0.00|>", "<|endoftext|>", "<|notimestamps|>")))


class TimedStep(nn.Module):
    """One greedy step under the grammar of timestamps, as ``ttscribe.decoding.rules.TimestampGrammar`` has it.

    What the grammar must know of each row's tokens so far is held in three tensors [B]: ``earliest``, the id of the
    first timestamp that may come; whether the last token is a timestamp that ``opens`` a pair, so that only another or
    the end may follow; whether it is one that ``closes`` a pair, so that none may.
    """

    suppress_text: Tensor
    suppress_times: Tensor
    words: Tensor
    times: Tensor

    def __init__(self, model: WhisperModel, suppress: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.ids = ids = timestamp_ids(model.config.vocab_size)
        suppressed = _suppressed(model, (*suppress, ids.no_timestamps))
        words = _filled(_suppressed(model, range(ids.end_of_text))[: ids.begin])
        self.register_buffer("suppress_text", _filled(suppressed[: ids.begin], SUPPRESSED))
        self.register_buffer("suppress_times", _filled(suppressed[ids.begin :], SUPPRESSED))
        self.register_buffer("words", _in_rows(words, 1))
        self.register_buffer("times", ids.begin + torch.arange(len(self.suppress_times)))

    def forward(
        self, token: Tensor, position: Tensor, earliest: Tensor, opens: Tensor, closes: Tensor, state: DecoderState
    ) -> tuple[Tensor, Tensor]:
        """Token [B] at position [B] to the next token [B] and its probability [B] among those that are allowed.

        ``earliest`` is an id [B], ``opens`` and ``closes`` are booleans [B]. All five are made ready for the next step
        in place.
        """
        batch = len(token)
        states = self.model.step_states(token, position, state)
        # Two products: a slice of one, at a column that is no multiple of 32, would have to be taken out of its tiles.
        weight, _ = centred(self.model)
        text = functional.linear(states, _filled(weight[: self.ids.begin])) + self.suppress_text
        times = functional.linear(states, _filled(weight[self.ids.begin :])) + self.suppress_times
        text = _in_rows(text, batch)
        text = text + torch.where(_each(opens, text), self.words, 0.0)
        # A batch of one spreads over the vocabulary as it is.
        first, none = (earliest, closes) if batch == 1 else (earliest[:, None], closes[:, None])
        times = times + torch.where((self.times < first) | none, SUPPRESSED, 0.0)
        # Where timestamps together are likelier than the likeliest text token, one of them it is.
        best = _largest(text)
        odds = (_in_rows(times, batch) - best).exp()
        of_times = _total(odds)
        is_time = of_times > 1
        of_text = _total((text - best).exp())
        probability = torch.where(is_time, _largest(odds) / of_times, (of_text + of_times).reciprocal())
        is_time = _flat(is_time)
        time = times.argmax(-1) + self.ids.begin
        following = torch.where(is_time, time, text.view(batch, -1).argmax(-1))
        # A pair may repeat its time; anything else must move on.
        was_time = opens | closes
        from_here = torch.where(was_time, time + 1, time)
        earliest.copy_(torch.where(is_time, from_here, earliest))
        opens.copy_(is_time & ~was_time)
        closes.copy_(is_time & was_time)
        token.copy_(following)
        position.add_(1)
        return following, _flat(probability)


def _filled(vocabulary: Tensor, value: float = 0.0) -> Tensor:
    """[V, ...] filled up so that V makes 32 rows of whole tiles."""
    missing = -len(vocabulary) % (TILE_SIZE * TILE_SIZE)
    return functional.pad(vocabulary, (0, 0) * (vocabulary.dim() - 1) + (0, missing), value=value)


def _in_rows(filled: Tensor, batch: int) -> Tensor:
    """[B, V] as ``_filled`` gives it to the most rows of whole tiles that V makes: [R, V / R], or [B, R, V / R]."""
    each = filled.numel() // batch
    rows = next(rows for rows in _ROWS if each % (rows * TILE_SIZE) == 0)
    # A batch of one has no dimension of its own: a matrix is reduced as it lies.
    return filled.view(rows, -1) if batch == 1 else filled.view(batch, rows, -1)


def _largest(rows: Tensor) -> Tensor:
    """[..., R, W] to [..., 1, 1]."""
    return rows.amax(-1, keepdim=True).amax(-2, keepdim=True)


def _total(rows: Tensor) -> Tensor:
    """[..., R, W] to [..., 1, 1]."""
    return rows.sum(-1, keepdim=True).sum(-2, keepdim=True)


def _each(flags: Tensor, rows: Tensor) -> Tensor:
    """[B] to what spreads over ``_in_rows``."""
    return flags[:, None] if rows.dim() == 2 else flags[:, None, None]


def _flat(numbers: Tensor) -> Tensor:
    """[1, 1] or [B, 1, 1] to [B]."""
    return numbers[:, 0] if numbers.dim() == 2 else numbers[:, 0, 0]


def _suppressed(model: WhisperModel, tokens: Sequence[int]) -> Tensor:
    bias = torch.zeros(model.config.vocab_size, dtype=model.dtype)
    bias[list(tokens)] = SUPPRESSED
    return bias
