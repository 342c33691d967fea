"""``ttscribe models``: what is on this machine, and what can be had."""

from typing import TYPE_CHECKING

from ttscribe.cli._terminal import columns
from ttscribe.errors import with_extra

if TYPE_CHECKING:
    from ttscribe.whisper.checkpoints import AvailableModel

BUNDLED = with_extra("bundled")


def models() -> None:
    """List models here and models that can be had."""
    from ttscribe.whisper.checkpoints import available_models

    columns([("NAME", "PARAMETERS", "WHERE"), *map(_row, available_models())])


def _row(model: "AvailableModel") -> tuple[str, str, str]:
    return model.name, "" if model.parameters is None else f"{model.parameters} M", _where(model)


def _where(model: "AvailableModel") -> str:
    from ttscribe.whisper.checkpoints.bundled import BUNDLES

    if model.path is not None:
        return f"{model.where}: {model.path}"
    hub = "downloaded when first used" if model.where == "download" else "not here, and HF_HUB_OFFLINE is set"
    return f"{hub}, or {BUNDLED}" if model.name in BUNDLES else hub
