"""Where a figure comes from: one word for each way in which it can be taken."""

from __future__ import annotations

from enum import Enum


class Provenance(str, Enum):
    """Where a figure comes from."""

    VALIDATED = "validated"  # TT-NN's host software on a mock board
    EMULATED = "emulated"  # numerics on the CPU
    SIMULATED = "simulated"  # TT-NN's kernels on Tenstorrent's functional simulator: values, no time
    PROJECTED = "projected"  # the cost model
    MEASURED = "measured"  # silicon, CPU or GPU: the figure's source says which


def provenance(device: str) -> Provenance:
    """What values are that are taken on a device of that name, in this process."""
    from ttscribe.devices.ttnn.simulator import simulator

    if device.partition(":")[0] in ("emulator", "exact"):
        return Provenance.EMULATED
    simulated = device.partition(":")[0] == "ttnn" and simulator() is not None
    return Provenance.SIMULATED if simulated else Provenance.MEASURED
