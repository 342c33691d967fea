"""The decoding options of the command, named as whisper's own command names them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import typer
from typer.core import TyperCommand

from ttscribe.cli._other_names import as_ours
from ttscribe.errors import OptionError
from ttscribe.options import DecodingOptions, VadOptions

PANEL = "Decoding"
DEFAULT = DecodingOptions()
SPEECH = VadOptions()
INCREMENT = 0.2  # of temperature at each try, as whisper's command has it
SUPPRESSED = ",".join(map(str, DEFAULT.suppress_tokens))


class GroupedCommand(TyperCommand):
    """A command whose help lists the options of each panel under its name, after the others.

    It understands what is written for whisper's own command.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, as ours where they are written for another command."""
        # A shell that completes them has them as they are.
        return super().parse_args(ctx, args if ctx.resilient_parsing else as_ours(args, self.get_params(ctx)))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options into the help, panel by panel."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            name = "Arguments" if parameter.param_type_name == "argument" else "Options"
            if record is not None:
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or name, []).append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


def dashes(name: str) -> str:
    """An option's name as it is listed: whisper's command writes underscores, which are understood too."""
    return name.replace("_", "-")


def _number_or_none(value: str | float) -> float | None:
    # Typer passes the default too.
    if str(value).lower() == "none":
        return None
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is neither a number nor none") from None


def _option(text: str, **settings: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=PANEL, **settings)


def _threshold(text: str) -> Any:
    return _option(text, parser=_number_or_none, metavar="X|none")


Temperature: TypeAlias = Annotated[
    float, _option("First temperature; 0 takes the likeliest text, more draws by chance.", metavar="T")
]
Increment: TypeAlias = Annotated[
    float | None,
    _threshold("Added to the temperature, up to 1, each time that a text fails the checks; none: one try."),
]
BestOf: TypeAlias = Annotated[
    int, _option("Texts drawn at a temperature above 0; the likeliest is taken.", metavar="N")
]
BeamSize: TypeAlias = Annotated[
    int, _option("Texts followed at once at temperature 0; 1 is fastest, 5 what others use.", metavar="N")
]
Patience: TypeAlias = Annotated[
    float, _option("Times the beam size: how many finished texts end the search of beams.", metavar="X")
]
LengthPenalty: TypeAlias = Annotated[
    float | None, _option("0 to 1: how much a long text may be less likely; the mean when not given.", metavar="X")
]
RepetitionPenalty: TypeAlias = Annotated[
    float, _option("Above 1 makes tokens less likely that the window has already.", metavar="X")
]
NoRepeatNgramSize: TypeAlias = Annotated[
    int, _option("No series of so many tokens comes twice in a window; 0 lets it.", metavar="N")
]
SuppressTokens: TypeAlias = Annotated[
    str, _option("Token ids never used, with commas; -1 is the model's own list of signs.", metavar="IDS")
]
InitialPrompt: TypeAlias = Annotated[
    str | None, _option("Text as if said before: its spelling and style are taken up.", metavar="TEXT")
]
CarryInitialPrompt: TypeAlias = Annotated[bool, _option("Tell every window the initial prompt, not the first alone.")]
Hotwords: TypeAlias = Annotated[str | None, _option("Words to expect, told to every window.", metavar="WORDS")]
Prefix: TypeAlias = Annotated[str | None, _option("What the transcript begins with.", metavar="TEXT")]
Condition: TypeAlias = Annotated[
    bool, _option("Tell each window the text before it: steadier spelling, but a loop may go on.")
]
MaxInitialTimestamp: TypeAlias = Annotated[
    float | None,
    _option("Seconds within which a window's first segment starts; the model's own when not given.", metavar="S"),
]
CompressionRatio: TypeAlias = Annotated[
    float | None, _threshold("A text that repeats itself more is doubted; none: loops are kept.")
]
LogProb: TypeAlias = Annotated[
    float | None, _threshold("A text with a lower mean log probability is tried again; none: never.")
]
NoSpeech: TypeAlias = Annotated[
    float | None, _threshold("Above this probability of no speech a text is doubted; none: never asked.")
]
Window: TypeAlias = Annotated[
    Literal["auto", "full"],
    _option(
        "Encode silence that fills a window up as all else (full), or, in int8, in a quarter of its positions (auto).",
        metavar="auto|full",
    ),
]
Vad: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--vad/--no-vad",
        "--vad-filter/--no-vad-filter",
        help="Decode only what Silero VAD takes for speech; --no-vad: do not look for long pauses either.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
VadThreshold: TypeAlias = Annotated[float, _option("Probability from which on sound is speech.", metavar="X")]
VadMinSilence: TypeAlias = Annotated[float, _option("Shorter pauses are part of the speech.", metavar="MS")]
ClipTimestamps: TypeAlias = Annotated[
    str | None,
    _option("Only these parts: start,end,start,end,... in seconds; the last end may be left out.", metavar="S,S,..."),
]
BatchSize: TypeAlias = Annotated[
    int, _option("Windows decoded together, cut where Silero VAD hears pauses; 1: one after the other.", metavar="N")
]
Multilingual: TypeAlias = Annotated[
    bool, _option("Detect the language of every window, for speech in several languages.")
]
DetectionSegments: TypeAlias = Annotated[
    int, _option("Windows of 30 s listened to until the language of one is sure.", metavar="N")
]
DetectionThreshold: TypeAlias = Annotated[
    float, _option("Probability above which the language of a window is sure.", metavar="X")
]
Seed: TypeAlias = Annotated[int, _option("Of sampling: the same seed gives the same text.", metavar="N")]


def ladder(temperature: float, increment: float | None) -> tuple[float, ...]:
    """The temperatures from the first to 1, in steps of ``increment``."""
    if increment is None:
        return (temperature,)
    if increment <= 0:
        raise OptionError(f"--temperature-increment-on-fallback must be above 0, or none, not {increment:g}")
    tries = int((1 - temperature) / increment + 1e-6)
    return (temperature, *(round(temperature + step * increment, 6) for step in range(1, tries + 1)))


def seconds(text: str | None) -> tuple[float, ...] | None:
    """Seconds of a list with commas."""
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"--clip-timestamps takes seconds with commas, such as 0,10,60, not {text!r}") from None


def token_ids(text: str) -> tuple[int, ...]:
    """Ids of a list with commas; none of an empty one."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise OptionError(f"--suppress-tokens takes ids with commas, such as -1,50257, not {text!r}") from None
