"""What shells complete the values of options with; nothing here waits for torch."""

from collections.abc import Iterator

# Named here since what defines them imports torch; a test compares them with it.
DEVICES = ("cpu", "cuda", "emulator", "emulator:kernels", "ttnn", "ttnn:n150", "ttnn:n300", "ttnn:n300x2", "ttnn:p150")
PRECISIONS = (
    "auto",
    "float32",
    "bfloat16",
    "int8",
    "float16",
    "exact",
    "bf16-hifi3",
    "bf16-hifi2",
    "bfp8-hifi3",
    "bfp8-mixed",
    "bfp8-hifi2",
)

Completion = tuple[str, str]
"""A value, and what it is, for shells that show that."""


def models() -> Iterator[Completion]:
    from ttscribe.whisper.checkpoints import available_models
    from ttscribe.whisper.checkpoints.hub import ALIASES

    for model in available_models():
        yield model.name, "not on this machine" if model.path is None else "on this machine"
    yield from ALIASES.items()


def languages() -> Iterator[Completion]:
    from ttscribe.whisper.languages import LANGUAGES

    yield from LANGUAGES.items()
    yield from ((name, code) for code, name in LANGUAGES.items())


def devices() -> tuple[str, ...]:
    return DEVICES


def precisions() -> tuple[str, ...]:
    return PRECISIONS
