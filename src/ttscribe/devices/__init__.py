"""Devices: each takes a Whisper model and gives a runner, or runs any program. One file or package per device."""

from collections.abc import Callable

from ttscribe.devices.cpu import CpuRunner
from ttscribe.devices.programs import ProgramDevice, ProgramRunner
from ttscribe.errors import DeviceUnavailable, OptionError
from ttscribe.whisper.model import WhisperModel
from ttscribe.whisper.runner import Runner


def _emulator(precision: str) -> ProgramDevice:
    from ttscribe.compiler.passes import policy
    from ttscribe.devices.emulator import EmulatedDevice

    return EmulatedDevice(exact=policy(precision).exact)


# What runs the torch module itself, and what runs programs.
NATIVE: dict[str, Callable[[WhisperModel], Runner]] = {"cpu": CpuRunner}
PROGRAM_DEVICES: dict[str, Callable[[str], ProgramDevice]] = {"emulator": _emulator}


def open_program_device(device: str, precision: str) -> ProgramDevice:
    """The device of that name, for programs of that precision policy."""
    try:
        opened = PROGRAM_DEVICES[device]
    except KeyError:
        known = ", ".join(PROGRAM_DEVICES)
        raise DeviceUnavailable(f"no device that runs programs is called {device!r}; there is {known}") from None
    return opened(precision)


def make_runner(device: str, model: WhisperModel, precision: str | None = None) -> Runner:
    """Put ``model`` on ``device``; ``precision`` is a policy for devices that run programs."""
    if device in PROGRAM_DEVICES:
        from ttscribe.compiler.compilation import Settings
        from ttscribe.compiler.passes import DEFAULT_POLICY, policy

        chosen = policy(precision or DEFAULT_POLICY)
        return ProgramRunner(model, open_program_device(device, chosen.name), Settings(chosen))
    if device not in NATIVE:
        raise DeviceUnavailable(f"no device is called {device!r}; there is {', '.join(DEVICES)}")
    if precision is not None:
        raise OptionError(f"--precision is for compiled programs; on {device} choose --dtype")
    return NATIVE[device](model)


DEVICES = (*NATIVE, *PROGRAM_DEVICES)

__all__ = [
    "DEVICES",
    "NATIVE",
    "PROGRAM_DEVICES",
    "ProgramDevice",
    "ProgramRunner",
    "make_runner",
    "open_program_device",
]
