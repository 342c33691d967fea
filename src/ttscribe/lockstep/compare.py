"""The comparison of one workload on two devices, by their names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ttscribe.compiler.settings import policy
from ttscribe.devices import open_program_device, require_values
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.devices.programs import ProgramDevice
from ttscribe.devices.provenance import Provenance, provenance
from ttscribe.devices.ttnn.device import TtnnDevice
from ttscribe.lockstep.findings import Comparison, Kept, end_to_end_tolerance, tolerance_of
from ttscribe.lockstep.keep import keep
from ttscribe.lockstep.walk import Walk, Watcher
from ttscribe.lockstep.workload import Workload

EXACT, PYTORCH = "exact", "pytorch"


@dataclass(frozen=True)
class Opened:
    """A device by name; ``handle`` is None for PyTorch, ``board`` a card's. ``float32`` says that it rounds nothing."""

    name: str
    handle: ProgramDevice | None
    float32: bool
    board: str | None = None

    @property
    def timed(self) -> bool:
        """Whether its seconds mean anything."""
        return provenance(self.name) is not Provenance.SIMULATED

    @property
    def told(self) -> str:
        """The name with its provenance."""
        return f"{self.name} ({provenance(self.name).value})"


@contextmanager
def opened(name: str, precision: str) -> Iterator[Opened]:
    """The device of that name: "ttnn" (also "ttnn:n150"), "emulator", "exact" (the emulator in float32), "pytorch".

    Raises DeviceUnavailable, OptionError; a card is closed at the end of the block.
    """
    if name == PYTORCH:
        yield Opened(name, None, float32=True)
        return
    if name == EXACT:
        yield Opened(name, EmulatedDevice(exact=True), float32=True)
        return
    require_values(name)
    device = open_program_device(name, precision)
    if not isinstance(device, TtnnDevice):
        yield Opened(name, device, float32=policy(precision).exact)
        return
    try:
        yield Opened(name, device, float32=False, board=device.board.name)
    finally:
        device.leave()


@dataclass(frozen=True, slots=True)
class Range:
    """Which steps of a program to compare: from ``first`` on, ``count`` of them, all where that is None."""

    first: int = 0
    count: int | None = None


def compare(
    workload: Workload,
    device: Opened,
    reference: Opened,
    *,
    steps: Range | None = None,
    tolerance: float | None = None,
    folder: Path | None = None,
    watch: Watcher = lambda _: None,
) -> Comparison:
    """Run the workload's program on both; what the first step that is off was given is kept in ``folder``, if any.

    ``device`` is not PyTorch. ``tolerance`` is the largest relative error of a step, by default that of the program's
    precision. Raises OptionError where there are no such steps; OutputError.
    """
    assert device.handle is not None
    steps, program = steps or Range(), workload.compiled.program
    precision = "exact" if device.float32 else program.precision
    limit = tolerance_of(precision, float32=reference.float32) if tolerance is None else tolerance
    timed = (device.timed, reference.timed)
    walk = Walk(workload.compiled, device.handle, reference.handle, watch, steps.first, steps.count, timed)
    off = walk.run(workload.inputs, limit)
    kept: Kept | None = None
    if off is not None and folder is not None:
        kept = keep(folder, program, off.step, {**walk.constants(off.step), **off.inputs}, off.expected)
    return Comparison(
        program.name,
        program.precision,
        device.told,
        reference.told,
        workload.about,
        limit,
        end_to_end_tolerance(precision),
        tuple(walk.found),
        walk.outputs(),
        kept,
    )
