"""Traces: a run recorded once on the device, then replayed as one command; and what stands in for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ttscribe.devices.programs import LoadedProgram
from ttscribe.errors import CallRefused


class Trace:
    """A recorded run. Whatever it reads and writes must stay where it is for as long as the trace is replayed."""

    def __init__(self, library: Any, device: Any, loaded: LoadedProgram, inputs: Sequence[Any]) -> None:
        """Run once, so that every device program is compiled and in the cache; then record, which runs nothing.

        Raises CallRefused where recording met a device program that the first run did not compile.
        """
        self.library, self.device, self.loaded = library, device, loaded
        loaded(*inputs)
        # To compile a device program is to write to the card, which TT-NN forbids while a trace is recorded.
        compiled, ran = device.num_program_cache_entries(), Counter(loaded.ledger)
        self._id = library.begin_trace_capture(device, cq_id=0)
        self.outputs = loaded(*inputs)
        library.end_trace_capture(device, self._id, cq_id=0)
        self._recorded = loaded.ledger - ran
        loaded.ledger.subtract(self._recorded)
        if new := device.num_program_cache_entries() - compiled:
            name = loaded.program.name
            raise CallRefused(f"{name}: {new} device programs were first compiled while a trace was recorded")

    def replay(self) -> None:
        """Start the recorded run on command queue 0; the host does not wait for it."""
        self.library.execute_trace(self.device, self._id, cq_id=0, blocking=False)
        self.loaded.ledger.update(self._recorded)

    def release(self) -> None:
        """Free the recorded commands; the trace cannot be replayed any more."""
        self.library.release_trace(self.device, self._id)


class Untraced:
    """A run made anew each time, call by call: what stands in for a trace where the host dispatches.

    ``given`` tells the inputs at each run, for what another run makes is another tensor each time. There are no
    ``outputs`` before the first.
    """

    outputs: tuple[Any, ...] = ()

    def __init__(self, loaded: LoadedProgram, given: Callable[[], Sequence[Any]]) -> None:
        self.loaded, self._given = loaded, given

    def replay(self) -> None:
        """Run, and wait for the end."""
        self.outputs = self.loaded(*self._given())

    def release(self) -> None:
        """Nothing was recorded."""


class Queues:
    """Command queues: 0 runs, the last one writes inputs, so that a write does not wait for what is running to end.

    A write into a tensor waits for the run that read it last; a run waits for the writes before it. Where there is one
    queue everything has its turn, and nothing else is waited for.
    """

    def __init__(self, library: Any, device: Any, count: int) -> None:
        self.library, self.device, self._writes = library, device, count - 1
        self._ran: Any = None

    def write(self, host: Any, into: Any) -> None:
        """Copy a host tensor into a device tensor."""
        if self._writes == 0:
            self.library.copy_host_to_device_tensor(host, into, cq_id=0)
            return
        if self._ran is not None:
            self.library.wait_for_event(self._writes, self._ran)
        # Into the tensor that the trace reads: another would have another address.
        self.library.copy_host_to_device_tensor(host, into, cq_id=self._writes)
        self.library.wait_for_event(0, self.library.record_event(self.device, self._writes))

    def read(self, tensors: Sequence[Any]) -> Callable[[], list[Any]]:
        """Begin to copy device tensors to the host as they are after the last run; what is given waits for the copies.

        A run that is started before it waits writes into the same tensors, but only when they have been copied: queue 0
        keeps its order. Where there is one queue they are copied now.
        """
        if self._writes == 0:
            copied = [tensor.cpu() for tensor in tensors]
            return lambda: copied
        copies = [tensor.cpu(blocking=False, cq_id=0) for tensor in tensors]
        done = self.library.record_event(self.device, 0)

        def wait() -> list[Any]:
            self.library.event_synchronize(done)
            return copies

        return wait

    def replay(self, trace: Trace | Untraced) -> None:
        """Start a recorded run after the writes so far."""
        trace.replay()
        if self._writes:
            self._ran = self.library.record_event(self.device, 0)
