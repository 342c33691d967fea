"""The model of a command where none is named."""

from typing import TYPE_CHECKING

from ttscribe.cli._terminal import note

if TYPE_CHECKING:
    from ttscribe.types import Task


def unnamed_model(*, language: str | None, task: "Task" = "transcribe", offline: bool, quiet: bool) -> str:
    """The model where none is named; says on standard error which, where it is not the default."""
    from ttscribe.whisper.checkpoints.unnamed import choose

    choice = choose(language=language, task=task, offline=offline)
    if choice.why is not None:
        note(f"ttscribe: warning: {choice.why}", quiet=quiet)
    return choice.name
