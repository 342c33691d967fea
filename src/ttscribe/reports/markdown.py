"""Tables and figures of Markdown pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

MILLI, MICRO = 1e3, 1e6


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| " + " | ".join(headers) + " |"
    yield "|" + "---|" * len(headers)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"


def ms(seconds: float) -> str:
    return f"{seconds * MILLI:.2f}"


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
