"""LocalAgreement-2 (Macháček, Dabre and Bojar 2023, arXiv:2307.14743): what two successive decodings agree on stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import dropwhile, takewhile

from ttscribe.types import Word

_PER_SECOND = 1.0
"""Wrong words that weigh as much as a second between when a word was said and when it is said now."""

_SIGNS = "\"'“”‘’¿¡([{-.。,，、!！?？:：;；…)]}"


class Agreement:
    """Takes the words of each decoding of a buffer, and commits those that two successive ones begin with.

    Times are the stream's, in seconds. ``committed`` are the words that are still in the buffer, ``pending`` those that
    may change, and ``end`` is where the last committed word ends.
    """

    def __init__(self) -> None:
        self.committed: list[Word] = []
        self.pending: list[Word] = []
        self.end = 0.0

    def hear(self, words: Sequence[Word]) -> list[Word]:
        """Take the words of all of the buffer; gives those that are committed now."""
        rest = [*dropwhile(_is_sign, words[self._continues(words) :])]
        agreed = len([*takewhile(lambda pair: _same(*pair), zip(rest, self.pending, strict=False))])
        self.pending = rest[agreed:]
        return self._commit(rest[:agreed])

    def finish(self) -> list[Word]:
        """Commit what is pending: nothing more is coming."""
        rest, self.pending = self.pending, []
        return self._commit(rest)

    def cut(self, time: float) -> None:
        """Forget the committed words of a buffer that now begins at ``time``."""
        self.committed = [word for word in self.committed if word.end > time]

    def _commit(self, words: Sequence[Word]) -> list[Word]:
        placed = []
        for word in words:
            # Of two decodings times may differ, those of committed words never do.
            start = max(word.start, self.end)
            placed.append(replace(word, start=start, end=max(word.end, start)))
            self.end = placed[-1].end
        self.committed += placed
        return placed

    def _continues(self, words: Sequence[Word]) -> int:
        """How many of ``words`` are the committed ones again, by what they say and when."""
        # The fewest changed, missing and additional words between the committed ones and each beginning of the others.
        costs = list(range(len(words) + 1))
        for committed in self.committed:
            before, costs = costs, [costs[0] + 1]
            for index, word in enumerate(words):
                changed = before[index] + (not _same(committed, word))
                costs.append(min(changed, before[index + 1] + 1, costs[index] + 1))
        starts = [word.start for word in words]

        def distance(count: int) -> float:
            # A beginning ends between its last word and the next one: no distance while that pause lasts.
            early = starts[count] - self.end if count < len(words) else 0.0
            late = words[count - 1].end - self.end if count else 0.0
            return costs[count] + _PER_SECOND * (max(0.0, -early) + max(0.0, late))

        return min(range(len(words) + 1), key=distance)


def _same(one: Word, other: Word) -> bool:
    return _plain(one) == _plain(other)


def _is_sign(word: Word) -> bool:
    """Whether it has nothing that is said: alone after committed words it is another reading of their signs."""
    return not word.text.strip().strip(_SIGNS)


def _plain(word: Word) -> str:
    return word.text.strip().strip(_SIGNS).casefold() or word.text.strip()
