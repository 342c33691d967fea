"""What decoding asks of whatever runs the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from ttscribe.decoding.rules import Rules
from ttscribe.types import Features, FloatArray, IntArray, LogPower
from ttscribe.whisper.config import WhisperConfig


@dataclass(slots=True)
class Picks:
    """The tokens of one decoding in order, and the natural-log probability of each among those that were allowed."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def goes_on(self, limit: int, end: int) -> bool:
        """Whether there is room for another token and ``end`` has not come."""
        return len(self.tokens) < limit and self.tokens[-1] != end

    def take(self, token: int, logprob: float) -> None:
        """Append a token and its natural-log probability."""
        self.tokens.append(token)
        self.logprobs.append(logprob)


LAST = (-1,)
"""The row after a prompt's last token."""


class Runner(Protocol):
    """A loaded model on a device. Encoder states and decoder states are the device's own, opaque to the caller.

    What crosses are NumPy's arrays: log-mel and logits in float32, tokens and positions in int64. Shapes as in
    ``ttscribe.whisper.model``: B batch, T tokens, V vocab_size; B is 1 to ``max_batch``. ``precision`` is what the
    device computes in, such as "float32", or the policy of its programs.

    ``max_decodings`` is how many decoder states may be alive at once, None where only memory limits them. On a device
    with such a limit a new ``encode`` or ``start`` takes the memory of the oldest; what was there raises StateGone when
    it is used, rather than decode another recording's audio.

    Threads: where ``concurrent`` is true, any number of threads may call a runner at the same time, each with states of
    its own. Where it is false a caller must see to it that one thread at a time does, from ``encode`` to the last token
    of that window (``ttscribe.Transcriber`` does).

    A runner is closed by ``close`` or at the end of a ``with`` block. Closing twice is harmless; where the device has
    freed something, using the runner afterwards raises DeviceUnavailable.
    """

    config: WhisperConfig
    precision: str
    max_batch: int
    max_decodings: int | None
    concurrent: bool

    @property
    def log_power(self) -> LogPower | None:
        """What transforms sound for this runner; None where PyTorch does."""

    def encode(self, mel: Features) -> Any:
        """Log-mel windows [B, num_mel_bins, 3000] to encoder states; OptionError for more than ``max_batch``."""

    def encode_condensed(self, mel: Features) -> Any:
        """As ``encode``, with less made of the silence in which a window ends where the device ``condenses`` it."""

    def condenses(self, mel: Features, /) -> bool:
        """Whether ``encode_condensed`` makes less of a window's features [num_mel_bins, 3000] than ``encode`` does."""

    def encoder_states(self, encoded: Any) -> FloatArray:
        """What ``encode`` gave: float32 [B, S, D]."""

    def start(self, encoder_states: Any) -> Any:
        """A decoder state for these encoder states, with an empty cache."""

    def prefill(self, tokens: IntArray, state: Any, rows: Sequence[int] = LAST) -> FloatArray:
        """Tokens [B, T] from position 0 on to the logits [B, R, V] after those of ``rows``, one or two indices into T.

        A negative index counts from the end.
        """

    def decode_step(self, token: IntArray, position: IntArray, state: Any) -> FloatArray:
        """One token [B] at its position [B] to logits [B, V]."""

    def greedy(self, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int) -> None:
        """Go on from each row's first token, which is at ``position``, with the likeliest that ``rules`` allow.

        Appends to each row of ``picked`` until ``end``, which is appended too, or until it has ``limit`` tokens. The
        device picks each token where it can, so that no logits come to the host.
        """

    def reorder(self, state: Any, rows: Sequence[int]) -> Any:
        """The state whose row i is what row ``rows[i]`` of ``state`` was, which is used up: rows may repeat, for beams.

        OptionError for more rows than ``max_batch``.
        """

    def close(self) -> None:
        """Free what the device holds."""

    def __enter__(self) -> Runner: ...  # noqa: PYI034 - Python 3.10 has no Self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Closable:
    """``with`` for whatever has ``close``."""

    def close(self) -> None:
        """Free what is held."""

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def greedy_on_host(
    runner: Runner, picked: Sequence[Picks], position: int, state: Any, rules: Rules, *, limit: int, end: int
) -> None:
    """``Runner.greedy`` from logits that come to the host at each step."""
    pick_on_host(runner.decode_step, picked, position, state, rules.pick, limit=limit, end=end)


def pick_on_host(
    step: Callable[[IntArray, IntArray, Any], FloatArray],
    picked: Sequence[Picks],
    position: int,
    state: Any,
    pick: Callable[[FloatArray, Sequence[int]], tuple[int, float]],
    *,
    limit: int,
    end: int,
) -> None:
    """Go on as ``Runner.greedy`` does with what ``pick`` takes: a token, of a row that ``step`` gives and its tokens.

    ``step`` is ``Runner.decode_step``, or gives in place of logits what only ``pick`` understands.
    A row that has ended is decoded on with ``end``, to keep the batch, and what that gives is thrown away.
    """
    while any(row.goes_on(limit, end) for row in picked):
        tokens = np.array([row.tokens[-1] for row in picked])
        logits = step(tokens, np.full(len(tokens), position), state)
        for row, row_logits in zip(picked, logits, strict=True):
            if row.goes_on(limit, end):
                row.take(*pick(row_logits, row.tokens))
        position += 1
