"""``ttscribe languages``: which language is spoken in recordings."""

from typing import TYPE_CHECKING, Annotated

import typer

from ttscribe.cli import _completion as complete
from ttscribe.cli import _decoding as decoding
from ttscribe.cli import _model as loading
from ttscribe.cli._terminal import complain, show_warnings
from ttscribe.errors import AudioError

if TYPE_CHECKING:
    from ttscribe.transcription import Transcriber

LISTED = 3  # likeliest languages of a recording


def languages(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Audio or video files; - is standard input.")],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            autocompletion=complete.models,
            help="A multilingual one: a name from 'ttscribe models', a folder ...",
        ),
    ] = "base",
    device: loading.Device = "cpu",
    vad: Annotated[bool, typer.Option("--vad", help="Listen from where Silero VAD first hears speech.")] = False,
    language_detection_segments: decoding.DetectionSegments = 1,
    language_detection_threshold: decoding.DetectionThreshold = 0.5,
    offline: Annotated[bool, typer.Option("--offline", help="Use only models that are on this machine.")] = False,
) -> None:
    """Say which language is spoken in recordings, without transcribing them.

    A line for each recording: its name, and the likeliest languages with their probabilities, between tabs.
    """
    from ttscribe.transcription import load_model

    show_warnings(quiet=False)
    transcriber = load_model(model, device=device, offline=offline)

    def attempt(file: str) -> bool:
        try:
            typer.echo(_line(transcriber, file, vad or None, language_detection_segments, language_detection_threshold))
        except AudioError as error:
            complain(error)
            return False
        return True

    succeeded = [attempt(file) for file in files]
    if not all(succeeded):
        raise typer.Exit(1)


def _line(transcriber: "Transcriber", file: str, vad: bool | None, segments: int, threshold: float) -> str:
    detected = transcriber.detect_language(
        file, vad_filter=vad, language_detection_segments=segments, language_detection_threshold=threshold
    )
    ranked = [*detected.probabilities.items()][:LISTED]
    return "\t".join([file, *(f"{code} {probability:.3f}" for code, probability in ranked)])
