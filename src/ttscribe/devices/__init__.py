"""Devices: each takes a Whisper model and gives a runner, or runs any program. One file or package per device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ttscribe.devices.cpu import open_cpu
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.whisper.config import WhisperConfig

if TYPE_CHECKING:
    # Neither the CPU nor a GPU waits for the compiler, and the CPU not for PyTorch.
    from ttscribe.compiler.settings import CompileSettings
    from ttscribe.decoding import Runner
    from ttscribe.devices.programs import ProgramDevice
    from ttscribe.whisper.checkpoints import Checkpoint
    from ttscribe.whisper.model import WhisperModel


def _emulator(precision: str, board: str | None) -> ProgramDevice:
    from ttscribe.compiler.settings import policy
    from ttscribe.devices.emulator import EmulatedDevice

    if board not in (None, "kernels"):
        raise OptionError(f"the emulator is no board: choose emulator or emulator:kernels, not emulator:{board}")
    return EmulatedDevice(exact=policy(precision).exact, as_kernels=board == "kernels")


def _ttnn(_precision: str, board: str | None) -> ProgramDevice:
    from ttscribe.devices.ttnn.device import card

    return card(board)


def _cuda(
    _config: WhisperConfig, build: Callable[[], WhisperModel], precision: str | None, _path: Path | None
) -> Runner:
    from ttscribe.devices.cuda import open_cuda

    return open_cuda(build(), precision)


# What runs the model itself, and what runs programs, on a board where there is a choice.
NATIVE: dict[str, Callable[[WhisperConfig, Callable[[], WhisperModel], str | None, Path | None], Runner]] = {
    "cpu": open_cpu,
    "cuda": _cuda,
}
PROGRAM_DEVICES: dict[str, Callable[[str, str | None], ProgramDevice]] = {"emulator": _emulator, "ttnn": _ttnn}


def open_program_device(device: str, precision: str) -> ProgramDevice:
    """The device of that name ("ttnn:n150": and on that board), for programs of that precision policy."""
    name, _, board = device.partition(":")
    try:
        opened = PROGRAM_DEVICES[name]
    except KeyError:
        known = ", ".join(PROGRAM_DEVICES)
        raise DeviceUnavailable(f"no device that runs programs is called {device!r}; there is {known}") from None
    return opened(precision, board or None)


def make_runner(device: str, model: WhisperModel, precision: str | None = None, suppress: Sequence[int] = ()) -> Runner:
    """Put ``model`` on ``device``, which may convert its weights.

    ``precision`` is what a device that runs the model itself computes in, or the policy of programs; None leaves
    weights on the CPU as they are, "auto" takes the device's choice. ``suppress`` are tokens that a device that runs
    programs never picks where it picks them itself. Raises DeviceUnavailable, OptionError.
    """
    return _runner(device, model.config, lambda: model, precision, suppress, None, None)


def open_checkpoint(
    device: str, checkpoint: Checkpoint, precision: str | None, tuned: str | Path | None = None
) -> Runner:
    """Put a checkpoint's model on ``device``, as ``make_runner`` does; its tokens are suppressed.

    ``tuned`` is a file of configurations for programs on that board. Weights are not read where the device kept what it
    made of them before. Raises CheckpointInvalid too.
    """
    suppress = checkpoint.suppress_tokens
    return _runner(device, checkpoint.config, checkpoint.build, precision, suppress, checkpoint.path, tuned)


def _runner(
    device: str,
    config: WhisperConfig,
    build: Callable[[], WhisperModel],
    precision: str | None,
    suppress: Sequence[int],
    path: Path | None,
    tuned: str | Path | None,
) -> Runner:
    if device.partition(":")[0] in PROGRAM_DEVICES:
        return _program_runner(device, build(), None if precision == "auto" else precision, suppress, tuned)
    if device not in NATIVE:
        raise DeviceUnavailable(f"no device is called {device!r}; there is {', '.join(DEVICES)}")
    if tuned is not None:
        raise OptionError(f"tuned configurations are for programs on a card, and {device} runs none")
    return NATIVE[device](config, build, precision, path)


def _program_runner(
    device: str, model: WhisperModel, precision: str | None, suppress: Sequence[int], tuned: str | Path | None
) -> Runner:
    from ttscribe.compiler.settings import WHISPER_POLICY, CompileSettings, policy
    from ttscribe.devices.programs import ProgramRunner

    chosen = policy(precision or WHISPER_POLICY)
    opened = open_program_device(device, chosen.name)
    # Programs are compiled from float32, and round what they round themselves.
    model.float()
    if not device.startswith("ttnn"):
        return ProgramRunner(model, opened, _with_tuned(CompileSettings(chosen), tuned), suppress)
    from ttscribe.devices.ttnn.device import TtnnDevice
    from ttscribe.devices.ttnn.runner import TtnnRunner

    assert isinstance(opened, TtnnDevice)
    return TtnnRunner(model, opened, _with_tuned(CompileSettings(chosen, opened.board), tuned), suppress)


def _with_tuned(settings: CompileSettings, tuned: str | Path | None) -> CompileSettings:
    from ttscribe.compiler.tuned import Tuned

    return settings if tuned is None else replace(settings, tuned=Tuned.read(tuned, settings.board))


def require_values(device: str) -> None:
    """Raise DeviceUnavailable where ``device`` would be a mock board: it accepts programs and computes nothing."""
    if device.startswith("ttnn"):
        from ttscribe.devices.ttnn.mock import is_mock

        if is_mock():
            raise DeviceUnavailable("TT_METAL_MOCK_CLUSTER_DESC_PATH is set: a mock board computes nothing; unset it")


DEVICES = (*NATIVE, *PROGRAM_DEVICES)

__all__ = [
    "DEVICES",
    "NATIVE",
    "PROGRAM_DEVICES",
    "make_runner",
    "open_checkpoint",
    "open_program_device",
    "require_values",
]
