"""The CPU: PyTorch's own arithmetic, or products in 8 bits where this CPU is made for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ttscribe.devices.cpu.precision import PRECISIONS, automatic, require
from ttscribe.whisper.config import WhisperConfig

if TYPE_CHECKING:
    from ttscribe.decoding import Runner
    from ttscribe.whisper.model import WhisperModel


def open_cpu(
    config: WhisperConfig, build: Callable[[], WhisperModel], precision: str | None, path: Path | None
) -> Runner:
    """A runner in one of PRECISIONS, None for the weights' own, "auto" for what this CPU is fast at.

    ``build`` gives the model, which int8 does without from the second start on: ``path`` is where its weights are read,
    and what is made of them is kept. Raises OptionError, and CheckpointInvalid as ``build`` does.
    """
    chosen = automatic(config).precision if precision == "auto" else precision
    if chosen is not None:
        require(chosen, config)
    if chosen == "int8":
        from ttscribe.devices.cpu.int8 import Int8Runner
        from ttscribe.devices.cpu.packed import packed_weights

        return Int8Runner(packed_weights(build, path), config)
    import torch

    from ttscribe.devices.torch_runner import TorchRunner

    model = build()
    return TorchRunner(model if chosen is None else model.to(getattr(torch, chosen)))


__all__ = ["PRECISIONS", "automatic", "open_cpu"]
