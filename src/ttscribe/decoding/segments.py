"""From a window's tokens to timed segments, and to where the next window starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

# A timestamp is 20 ms, an encoder position; a mel frame is 10 ms.
FRAMES_PER_TIMESTAMP = 2
SECONDS_PER_TIMESTAMP = 0.02


@dataclass(frozen=True, slots=True)
class TimedTokens:
    """Tokens, timestamps included, with their start and end in seconds from the window's start."""

    start: float
    end: float
    tokens: tuple[int, ...]


def split_window(tokens: Sequence[int], timestamp_begin: int, frames: int) -> tuple[list[TimedTokens], int]:
    """Cut ``tokens`` at each pair of timestamps; also say by how many mel frames the window moves.

    ``frames`` is how much of the window is audio. As in OpenAI's sequential algorithm: what follows the last pair is
    decoded again from there, unless the window ends in a single timestamp (no speech after it) or has no pair at all.
    """
    is_time = [token >= timestamp_begin for token in tokens]
    cuts = [index + 1 for index, (here, after) in enumerate(pairwise(is_time)) if here and after]
    if not cuts:
        return [_whole(tokens, timestamp_begin, frames)], frames
    if is_time[-2:] == [False, True]:
        cuts.append(len(tokens))
        return _slices(tokens, cuts, timestamp_begin), frames
    segments = _slices(tokens, cuts, timestamp_begin)
    return segments, (tokens[cuts[-1] - 1] - timestamp_begin) * FRAMES_PER_TIMESTAMP


def _slices(tokens: Sequence[int], cuts: Sequence[int], timestamp_begin: int) -> list[TimedTokens]:
    parts = [tuple(tokens[start:end]) for start, end in pairwise([0, *cuts])]
    return [
        TimedTokens(_seconds(part[0], timestamp_begin), _seconds(part[-1], timestamp_begin), part) for part in parts
    ]


def _whole(tokens: Sequence[int], timestamp_begin: int, frames: int) -> TimedTokens:
    last = next((token for token in reversed(tokens) if token >= timestamp_begin), timestamp_begin)
    # <|0.00|> alone says nothing of the end.
    end = _seconds(last, timestamp_begin) if last != timestamp_begin else frames / 100
    return TimedTokens(0.0, end, tuple(tokens))


def _seconds(timestamp: int, timestamp_begin: int) -> float:
    return (timestamp - timestamp_begin) * SECONDS_PER_TIMESTAMP
