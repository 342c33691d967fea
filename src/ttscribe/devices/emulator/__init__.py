"""The emulator: runs a Program on the CPU, one torch function per TT-NN operation, rounding as a card does.

The functions are part of each operation's record (``compiler/operations``).
"""

from ttscribe.compiler.operations.emulation import DeviceTensor
from ttscribe.devices.emulator.device import EmulatedDevice
from ttscribe.devices.emulator.loaded import EmulatedProgram

__all__ = ["DeviceTensor", "EmulatedDevice", "EmulatedProgram"]
