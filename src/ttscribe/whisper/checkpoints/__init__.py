"""Whisper's weights from wherever they are: a folder, a file, the caches of other programs, a package, or the hub.

`hub` finds them; `loading` reads what comes with them, with one module per format. Neither needs torch, which
`assembly` reads the weights with.
"""

from typing import TYPE_CHECKING, Any

from ttscribe.whisper.checkpoints.hub import AvailableModel, available_models

if TYPE_CHECKING:
    from ttscribe.whisper.checkpoints.loading import Checkpoint, load_checkpoint

__all__ = ["AvailableModel", "Checkpoint", "available_models", "load_checkpoint"]


def __getattr__(name: str) -> Any:
    # Listing models must not wait for NumPy and the tokenizers' library, which loading imports.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ttscribe.whisper.checkpoints import loading

    return getattr(loading, name)
