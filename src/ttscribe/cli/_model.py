"""The model that a command loads: the options that name it and where it runs, and the loading itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ttscribe.cli import _completion as complete
from ttscribe.cli._terminal import note, show_warnings

if TYPE_CHECKING:
    from ttscribe.transcription import Transcriber
    from ttscribe.types import Task

Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        autocompletion=complete.models,
        help="A name from 'ttscribe models', a hub id, a folder or a .pt file.  "
        "[default: distil-large-v3; where it cannot be had, the largest that is here]",
    ),
]
Language: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="CODE|NAME",
        autocompletion=complete.languages,
        help="Language spoken, such as de or german; detected when not given.",
    ),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        autocompletion=complete.devices,
        help="Where the model runs: cpu, cuda, emulator, ttnn, ttnn:n150 ...",
    ),
]
Precision: TypeAlias = Annotated[
    str,
    typer.Option(
        "--precision",
        "--compute-type",
        metavar="NAME",
        autocompletion=complete.precisions,
        help="What is computed in: on cpu float32, bfloat16, int8; of programs a policy: bfp8-hifi3, FILE.json ...",
    ),
]
Tuned: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="On a card: what 'ttscribe tune' wrote for its board.")
]
Threads: TypeAlias = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="CPU threads; one for each core when not given.")
]


def load(
    model: str | None,
    *,
    language: str | None,
    task: "Task" = "transcribe",
    device: str,
    precision: str,
    threads: int | None,
    offline: bool,
    quiet: bool,
    tuned: Path | None = None,
) -> "Transcriber":
    """The model, or where none is named one that knows ``language`` and does ``task``; warnings are shown from then on.

    Raises what ``load_model`` does.
    """
    from ttscribe.threads import limit

    if threads is not None:
        # Before NumPy is imported, whose products take as many as it finds then.
        limit(threads)
    from ttscribe.transcription import load_model

    show_warnings(quiet=quiet)
    if quiet:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    model = named(model, language=language, task=task, offline=offline, quiet=quiet)
    return load_model(model, device=device, precision=precision, threads=threads, offline=offline, tuned=tuned)


def named(model: str | None, *, language: str | None, task: "Task", offline: bool, quiet: bool) -> str:
    """``model``, or which one it is where none is named; says so on standard error, where it is not the default."""
    if model is not None:
        return model
    from ttscribe.whisper.checkpoints.unnamed import choose

    choice = choose(language=language, task=task, offline=offline)
    if choice.why is not None:
        note(f"ttscribe: warning: {choice.why}", quiet=quiet)
    return choice.name
