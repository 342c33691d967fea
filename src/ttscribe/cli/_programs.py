"""What the commands about programs share: the model to compile, and how."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from ttscribe.errors import OptionError

if TYPE_CHECKING:
    from torch import nn

    from ttscribe.compiler.settings import CompileSettings, Precision
    from ttscribe.whisper.model import WhisperModel

ProgramName = Literal["encode", "cross_kv", "prefill", "decode_step", "greedy_step", "timed_step"]
BoardName = Literal["n150", "n300", "n300x2", "p150"]
TunedOption: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Configurations of products that 'ttscribe tune' chose.")
]
PROGRAMS: tuple[ProgramName, ...] = ("encode", "cross_kv", "prefill", "decode_step", "greedy_step", "timed_step")


def weights(name: str, *, random_weights: bool, offline: bool) -> tuple["WhisperModel", tuple[int, ...]]:
    """The model with its weights, and the tokens that its greedy step suppresses."""
    if random_weights:
        from ttscribe.whisper.checkpoints.hub import canonical_name
        from ttscribe.whisper.config import WhisperConfig
        from ttscribe.whisper.model import random_model

        return random_model(WhisperConfig.named(canonical_name(name))), ()
    from ttscribe.whisper.checkpoints import load_checkpoint

    checkpoint = load_checkpoint(name, offline=offline)
    return checkpoint.model, checkpoint.suppress_tokens


def shape(name: str, *, offline: bool) -> "WhisperModel":
    """A model of that shape: of a published size with no weights at all, otherwise as its checkpoint says."""
    from ttscribe.whisper.checkpoints import load_checkpoint
    from ttscribe.whisper.checkpoints.hub import canonical_name
    from ttscribe.whisper.config import SIZES
    from ttscribe.whisper.model import shape_only_model

    size = canonical_name(name)
    return shape_only_model(SIZES[size]) if size in SIZES else load_checkpoint(name, offline=offline).model


def settings(
    precision: str | None,
    blocklist: Path | None,
    model: str,
    *,
    of_module: bool = False,
    board: str = "n150",
    strict: bool = False,
    tuned: Path | None = None,
) -> "CompileSettings":
    """How to compile Whisper, or any module, as the options say; entries of the blocklist are for ``model``.

    ``tuned`` names a file of configurations for that board.
    """
    from ttscribe.compiler.blocklist import Blocklist
    from ttscribe.compiler.boards import BOARDS
    from ttscribe.compiler.settings import CompileSettings
    from ttscribe.compiler.tuned import Tuned

    entries = Blocklist() if blocklist is None else Blocklist.read(blocklist, model)
    chosen = Tuned() if tuned is None else Tuned.read(tuned, BOARDS[board])
    return CompileSettings(chosen_policy(precision, of_module=of_module), BOARDS[board], strict, entries, chosen)


def chosen_policy(precision: str | None, *, of_module: bool) -> "Precision":
    """The policy of that name; without one Whisper's, or that of any module."""
    from ttscribe.compiler.settings import DEFAULT_POLICY, WHISPER_POLICY, policy

    return policy(precision or (DEFAULT_POLICY if of_module else WHISPER_POLICY))


def from_factory(named: str) -> tuple["nn.Module", tuple[Any, ...]]:
    """What PACKAGE:FACTORY gives; the current folder is searched too."""
    from torch import nn

    package, _, factory = named.partition(":")
    sys.path.insert(0, "")
    try:
        made = _factory(package, factory, named)()
    finally:
        sys.path.remove("")
    given = isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module) and isinstance(made[1], tuple)
    if not given:
        raise OptionError(
            f"--module {named}: the factory gives a module and a tuple of example inputs, not {made!r:.80}"
        )
    return made  # type: ignore[no-any-return]


def _factory(package: str, factory: str, named: str) -> Callable[[], Any]:
    try:
        found = getattr(importlib.import_module(package), factory)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise OptionError(f"--module {named}: {error}; it is written PACKAGE:FACTORY") from error
    if not callable(found):
        raise OptionError(f"--module {named}: {factory} is {found!r:.80}, which cannot be called")
    return found  # type: ignore[no-any-return]
