"""The options of the command that need word times, named as whisper's own command names them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from ttscribe.errors import OptionError
from ttscribe.writers import SUBTITLES, SubtitleLayout

PANEL = "Words"


def _option(text: str, **settings: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=PANEL, **settings)


WordTimestamps: TypeAlias = Annotated[
    bool, _option("Find when each word is said; segments then begin and end with their words.")
]
HighlightWords: TypeAlias = Annotated[bool, _option("In subtitles, underline each word while it is said.")]
MaxLineWidth: TypeAlias = Annotated[int | None, _option("Most characters in a line of subtitles.", metavar="N")]
MaxLineCount: TypeAlias = Annotated[
    int | None, _option("Most lines of a subtitle, across segments; needs --max-line-width.", metavar="N")
]
MaxWordsPerLine: TypeAlias = Annotated[
    int | None, _option("Most words of a subtitle; not together with --max-line-width.", metavar="N")
]
HallucinationSilence: TypeAlias = Annotated[
    float | None,
    _option("Decode again, without the silence around them, words that look as if nobody said them.", metavar="S"),
]
Prepend: TypeAlias = Annotated[str, _option("Signs that belong to the word that follows.", metavar="SIGNS")]
Append: TypeAlias = Annotated[str, _option("Signs that belong to the word before.", metavar="SIGNS")]


def layout(
    format_name: str,
    *,
    word_timestamps: bool,
    highlight_words: bool,
    max_line_width: int | None,
    max_line_count: int | None,
    max_words_per_line: int | None,
) -> SubtitleLayout | None:
    """What the options ask of subtitles, None for nothing; OptionError where word times or subtitles are missing."""
    if word_timestamps and format_name == "txt":
        raise OptionError("txt has no times: --word-timestamps needs --format srt, vtt, lrc, tsv or json")
    options = {
        "--highlight-words": highlight_words or None,
        "--max-line-width": max_line_width,
        "--max-line-count": max_line_count,
        "--max-words-per-line": max_words_per_line,
    }
    given = [name for name, value in options.items() if value is not None]
    if not given:
        return None
    if format_name not in SUBTITLES:
        raise OptionError(f"{given[0]} is for subtitles: give --format {' or '.join(SUBTITLES)}, not {format_name}")
    if not word_timestamps:
        raise OptionError(f"{given[0]} needs --word-timestamps")
    return SubtitleLayout(max_line_width, max_line_count, max_words_per_line, highlight_words)
