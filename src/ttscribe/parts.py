"""A part of a recording, which workers share: where it begins and ends, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ttscribe.errors import OptionError
from ttscribe.options import DecodingOptions
from ttscribe.vad import Speech
from ttscribe.windows import FRAMES_PER_SECOND

WHOLE = (0, 1)
"""The one part of a recording that is all of it."""


def require_part(
    part: tuple[int, int], options: DecodingOptions, clips: Sequence[float] | None, *, detected: bool
) -> None:
    """Raises OptionError for what is no part, or cannot be known in one; ``detected`` is whether a detector listens."""
    index, count = part
    if type(index) is not int or type(count) is not int or not 0 <= index < count:
        raise OptionError(f"part must be a number from 0 and that of all parts, such as (0, 4), not {part!r}")
    if clips is not None:
        raise OptionError("part and clip_timestamps both say what is transcribed: leave one of them out")
    if options.condition_on_previous_text:
        raise OptionError("condition_on_previous_text needs the text before a part: transcribe the whole recording")
    if not detected:
        raise OptionError("a part is cut where Silero VAD hears pauses: leave vad_filter and no_speech_threshold on")


def part_clip(part: tuple[int, int], heard: Speech, seconds: float) -> tuple[float, float]:
    """From where to where a part goes, in seconds. Raises OptionError for parts that nobody would want."""
    index, count = part
    if count > max(1, seconds):
        raise OptionError(f"a recording of {seconds:.1f} s has no {count} parts of a second or more")
    span = heard.part(index, count, seconds)
    # In whole frames, as windows begin.
    start, end = (math.floor(time * FRAMES_PER_SECOND) / FRAMES_PER_SECOND for time in (span.start, span.end))
    return start, end if index + 1 < count else math.inf


def part_options(part: tuple[int, int], options: DecodingOptions) -> DecodingOptions:
    """The options of a part that may not be the first, which alone is told a prefix and a prompt."""
    if part[0] == 0:
        return options
    prompt = options.initial_prompt if options.carry_initial_prompt else None
    return replace(options, prefix=None, initial_prompt=prompt)
