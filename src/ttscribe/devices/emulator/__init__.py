"""The emulator: runs a Program on the CPU, one torch function per TT-NN operation, rounding as the card does."""

from ttscribe.devices.emulator.device import EmulatedDevice
from ttscribe.devices.emulator.loaded import LoadedProgram
from ttscribe.devices.emulator.operations import EMULATED
from ttscribe.devices.emulator.tensors import DeviceTensor, EmulationError

__all__ = ["EMULATED", "DeviceTensor", "EmulatedDevice", "EmulationError", "LoadedProgram"]
