"""What the commands about programs share: the model to compile, and how."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ttscribe.compiler.settings import CompileSettings
    from ttscribe.whisper.model import WhisperModel

ProgramName = Literal["encode", "cross_kv", "prefill", "decode_step", "greedy_step"]
PROGRAMS: tuple[ProgramName, ...] = ("encode", "cross_kv", "prefill", "decode_step", "greedy_step")


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
    precision: str | None, blocklist: Path | None, model: str, *, board: str = "n150", strict: bool = False
) -> "CompileSettings":
    """How to compile, as the options say; ``model`` is what entries of the blocklist are for."""
    from ttscribe.compiler.blocklist import Blocklist
    from ttscribe.compiler.boards import BOARDS
    from ttscribe.compiler.settings import DEFAULT_POLICY, CompileSettings, policy

    entries = Blocklist() if blocklist is None else Blocklist.read(blocklist, model)
    return CompileSettings(policy(precision or DEFAULT_POLICY), BOARDS[board], strict, entries)
