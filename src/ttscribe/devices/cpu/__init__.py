"""The CPU: PyTorch's own arithmetic, or products in 8 bits where this CPU is made for them."""

from __future__ import annotations

from pathlib import Path

import torch

from ttscribe.decoding import Runner
from ttscribe.devices.cpu.precision import PRECISIONS, automatic, require
from ttscribe.devices.torch_runner import TorchRunner
from ttscribe.whisper.model import WhisperModel


class CpuRunner(TorchRunner):
    """Runs the plain torch programs on the CPU: the reference that other devices are held to."""


def open_cpu(model: WhisperModel, precision: str | None, path: Path | None) -> Runner:
    """A runner in one of PRECISIONS, None for the weights' own, "auto" for what this CPU is fast at.

    ``path`` is where the weights were read: what is made of them is kept for the next start. Raises OptionError.
    """
    chosen = automatic(model.config).precision if precision == "auto" else precision
    if chosen is None:
        return CpuRunner(model)
    require(chosen, model.config)
    if chosen == "int8":
        from ttscribe.devices.cpu.int8 import Int8Runner
        from ttscribe.devices.cpu.packed import packed_weights

        return Int8Runner(packed_weights(model, path), model.config)
    return CpuRunner(model.to(getattr(torch, chosen)))


__all__ = ["PRECISIONS", "CpuRunner", "automatic", "open_cpu"]
