"""An NVIDIA GPU, by PyTorch's own kernels, a decode step launched as one CUDA graph."""

from __future__ import annotations

import torch

from ttscribe.devices.slots import SlotRunner
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.whisper.model import WhisperModel

PRECISIONS = ("bfloat16", "float16", "float32")

# Ampere, the first that multiplies bfloat16 numbers.
_AMPERE = (8, 0)


def open_cuda(model: WhisperModel, precision: str | None) -> SlotRunner:
    """A runner on the first GPU, in one of PRECISIONS, None or "auto" for the fastest that it has.

    Raises DeviceUnavailable where PyTorch finds no GPU, or none with room, OptionError for another precision.
    """
    if precision not in (None, "auto", *PRECISIONS):
        raise OptionError(f"on cuda the precision is auto, {', '.join(PRECISIONS)}, not {precision!r}")
    if not torch.cuda.is_available():
        built = "and this PyTorch was built without CUDA" if torch.version.cuda is None else "or no driver for it"
        raise DeviceUnavailable(f"no NVIDIA GPU that PyTorch can use is here, {built}: choose --device cpu")
    chosen = precision if precision in PRECISIONS else _fastest(torch.cuda.get_device_capability())
    try:
        return SlotRunner(model.to("cuda", getattr(torch, str(chosen))))
    except torch.OutOfMemoryError as error:
        raise DeviceUnavailable(
            f"the GPU has no room for the model in {chosen}: end what else uses it, or choose a smaller model"
        ) from error


def _fastest(capability: tuple[int, int]) -> str:
    return "bfloat16" if capability >= _AMPERE else "float16"
