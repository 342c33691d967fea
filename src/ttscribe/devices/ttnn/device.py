"""A Tenstorrent card through TT-NN: opened and closed safely, holding tensors, running programs."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ttscribe.compiler.boards import BOARDS, Board, board
from ttscribe.compiler.memory import prepared_on_host
from ttscribe.compiler.program import Program, TensorSpec, Value
from ttscribe.decoding import Closable
from ttscribe.devices import programs
from ttscribe.devices.ttnn import compiler
from ttscribe.devices.ttnn.calls import Calls
from ttscribe.devices.ttnn.loaded import TtnnProgram, complaint
from ttscribe.devices.ttnn.mock import is_mock, stand_in_for_dispatch
from ttscribe.devices.ttnn.simulator import require_simulator, simulator, slow_dispatch
from ttscribe.devices.ttnn.traces import Trace
from ttscribe.devices.ttnn.weights import HostValues, Recipes, WeightCache, content
from ttscribe.errors import DeviceUnavailable, with_extra
from ttscribe.files import cache_folder

CARDS = Path("/dev/tenstorrent")
# Convolutions keep the halo's tables in this region; traces their commands in that one, of DRAM.
L1_SMALL_SIZE = 16 * 1024
TRACE_REGION_SIZE = 64 * 1024 * 1024

Progress = Callable[[int, int], None]


def library() -> Any:
    """The ttnn module; DeviceUnavailable where it is not installed or does not import."""
    # Set before the import, for loguru, with which ttnn's Python part logs, reads its level only then.
    quiet = {"TT_LOGGER_LEVEL": "error", "LOGURU_LEVEL": "ERROR"}
    os.environ.update({name: level for name, level in quiet.items() if name not in os.environ})
    try:
        return importlib.import_module("ttnn")
    except ModuleNotFoundError as error:
        if error.name != "ttnn":
            raise
        raise DeviceUnavailable(
            f"the ttnn library is not installed: {with_extra('tt')} on Python 3.10 or 3.12"
        ) from None
    except (ImportError, OSError) as error:
        raise DeviceUnavailable(f"the ttnn library does not import: {complaint(error)}") from error


def require_card() -> None:
    """Raise DeviceUnavailable, with what to do, where this machine has no card that TT-NN could open."""
    if is_mock():
        return
    if (named := simulator()) is not None:
        require_simulator(named)
    elif not CARDS.is_dir():
        raise DeviceUnavailable(
            f"no Tenstorrent card: {CARDS} does not exist; install the tt-kmd driver, "
            "or try 'ttscribe check', which needs no card"
        )
    elif not any(os.access(card, os.R_OK | os.W_OK) for card in CARDS.iterdir() if card.is_char_device()):
        raise DeviceUnavailable(f"no card in {CARDS} may be opened by this user: see the tt-kmd driver's udev rules")
    if importlib.util.find_spec("ttnn") is not None:
        compiler.require()


# What TT-NN and its driver library say, and what it means for a user.
_TROUBLES = (
    (("CHIP_IN_USE", "lock", "busy"), "the card is in use by another process: end it, or wait"),
    (("firmware",), "the card's firmware is not one that this ttnn supports: update it with tt-flash"),
    (("hugepage", "huge page"), "no huge pages are set up: install tenstorrent-tools (hugepages-setup)"),
    (("Could not find the SFPI", "sfpi"), "the SFPI compiler is not installed: python -m ttnn.download_sfpi"),
    (("No chips detected", "no devices"), "no Tenstorrent card answers: check tt-smi, and the tt-kmd driver"),
    (("Unsupported arch", "unsupported board", "cluster type"), "this ttnn does not support the board"),
)


def trouble(error: BaseException) -> str:
    """One line on why a card could not be opened: what to do, then what TT-NN says."""
    said = complaint(error)
    for words, meaning in _TROUBLES:
        if any(word.lower() in str(error).lower() for word in words):
            return f"{meaning} ({said})"
    return f"the card cannot be opened: {said}"


_OPEN: list[TtnnDevice] = []


def card(board_name: str | None = None) -> TtnnDevice:
    """This process's card, opened when it is first asked for: it cannot be opened twice.

    Whoever asks for it leaves it by ``leave``, and the last one to leave closes it.
    """
    if not _OPEN or _OPEN[0].handle is None:
        _OPEN[:] = [TtnnDevice(board_name)]
    elif board_name is not None:
        wanted = board(board_name)
        _require_board(_OPEN[0].library, wanted)
        if wanted.chips != _OPEN[0].chips:
            raise DeviceUnavailable(f"the card is open already, with {_OPEN[0].chips} of its chips")
    _OPEN[0].users += 1
    return _OPEN[0]


class TtnnDevice(Closable):
    """One chip, or several that run the same program, each on data of its own ("n300x2").

    It is freed by ``close``, at the end of a ``with`` block, and when Python ends, Ctrl-C included.
    """

    def __init__(self, board_name: str | None = None, *, progress: Progress | None = None) -> None:
        """Open the first chip of the machine's board, or as many as ``board_name`` says; the board must be that one.

        ``progress`` is called with the bytes of weights that are on the device and those that there are, while a
        program is loaded. Raises DeviceUnavailable, in one line that says what to do.
        """
        wanted = None if board_name is None else board(board_name)
        require_card()
        self.library = library()
        if is_mock():
            stand_in_for_dispatch(self.library)
        self.handle = _open(self.library, wanted)
        self.board = wanted or _board_of(self.library, self.handle)
        self.chips = 1 if wanted is None else wanted.chips
        self.users = 0
        atexit.register(self.close)
        self.progress = progress
        # By version: nothing says that another TT-NN reads these files, or converts to the same bytes.
        folder = cache_folder() / "weights" / f"ttnn-{_version()}"
        self._cache = WeightCache(folder, self.library)
        self._constants: dict[str, Any] = {}
        self._calls = Calls(self.library, self.handle)

    def close(self) -> None:
        """Free the card; tensors on it are gone. Closing twice is harmless."""
        if self.handle is not None:
            atexit.unregister(self.close)
            self._constants.clear()
            close = self.library.close_device if self.chips == 1 else self.library.close_mesh_device
            close(self.handle)
            self.handle = None

    def leave(self) -> None:
        """One user of the card less; the last one closes it."""
        self.users -= 1
        if self.users <= 0:
            self.close()

    def load(self, program: Program, params: Mapping[str, Tensor]) -> TtnnProgram:
        """Bind ``params`` by name and hold the program's constants; those that programs share are held once.

        Matrices are converted on the host once and kept on disk by their content.
        """
        recipes = Recipes(program, {name: content(tensor) for name, tensor in params.items()})
        values, on_host = HostValues(program, params), prepared_on_host(program)
        sizes = {constant.value.name: _spec(constant.value).bytes for constant in program.constants}
        done, total = 0, sum(sizes.values())

        def constant(value: Value, source: str) -> Any:
            nonlocal done
            key = recipes.key(source, _spec(value), on_host=value.name in on_host)
            if key not in self._constants:
                self._constants[key] = self._constant(key, value, lambda: values[source], value.name in on_host)
            done += sizes[value.name]
            if self.progress is not None:
                self.progress(done, total)
            return self._constants[key]

        held = {each.value.name: constant(each.value, each.source) for each in program.constants}
        # Host values that host segments read, or that are given back as they are.
        known = {value.name for value in program.params} | {op.output.name for op in program.setup}
        read = {*program.outputs, *(name for step in program.body for name in step.inputs)}
        held |= {name: values[name] for name in known & read}
        return TtnnProgram(program, Calls(self.library, self.handle), held)

    def _constant(self, key: str, value: Value, data: Callable[[], Tensor], on_host: bool) -> Any:
        spec = _spec(value)
        if on_host:
            # Row-major and on the host: conv1d wants to prepare its weights itself.
            return self.library.from_torch(data().float(), dtype=self._calls.argument(spec.dtype))
        return self._calls.place(self._cache.get(key, lambda: self._calls.host_tensor(data(), spec)), spec)

    def to_device(self, tensor: Tensor, spec: TensorSpec) -> Any:
        """A copy of a host tensor: of the spec's shape, or, on several chips, of as many of them along dimension 0."""
        return self._calls.place(self.host_tensor(tensor, spec), spec)

    def host_tensor(self, tensor: Tensor, spec: TensorSpec) -> Any:
        """A host tensor converted to the spec's element type and layout, ready to be written to the device."""
        spread = None if self.chips == 1 else self.library.ShardTensorToMesh(self.handle, dim=0)
        return self._calls.host_tensor(tensor, spec, spread)

    def to_host(self, tensor: Any, dtype: torch.dtype) -> Tensor:
        """A copy of a device tensor; of several chips, one after another along dimension 0."""
        joined = {} if self.chips == 1 else {"mesh_composer": self.library.ConcatMeshToTensor(self.handle, dim=0)}
        copied: Tensor = self.library.to_torch(tensor, **joined)
        return copied.to(dtype)

    def zeros(self, spec: TensorSpec) -> Any:
        """A tensor of zeros: what state is before anything is written to it."""
        return self._calls.place(self._calls.host_tensor(torch.zeros(spec.shape), spec), spec)

    def copy(self, tensor: Any) -> Any:
        """The same values in memory of their own."""
        return self.library.clone(tensor)

    def joined(self, tensors: Sequence[Any]) -> Any:
        """Several tensors of one shape as one in memory of its own, one after another along the first dimension."""
        return self.library.concat([*tensors], dim=0)

    def parted(self, tensor: Any) -> Sequence[Any]:
        """The rows of a tensor along the first dimension, each in memory of its own."""
        parts: Sequence[Any] = self.library.split(tensor, 1, dim=0)
        return parts

    def overwrite(self, tensor: Any, by: Any) -> None:
        """Write the values of another tensor of its shape into ``tensor``, where it stands."""
        self.library.copy(by, tensor)

    def put(self, cache: Any, new: Any, row: int) -> None:
        """Write a cache of one row, [1, heads, slots, width] on each chip, into that row of another in its place."""
        self.library.fill_cache(cache, new, row)

    def synchronize(self) -> None:
        """Wait until everything that was asked of the device is done."""
        self.library.synchronize_device(self.handle)

    @contextmanager
    def repeated(self, loaded: programs.LoadedProgram, inputs: Sequence[Any]) -> Iterator[Callable[[], None]]:
        """What replays a trace of the program, or calls it where none can be recorded, and waits for its end.

        Host segments forbid a trace, and so does slow dispatch. Nothing may be allocated in the block.
        """
        traced = not loaded.program.host_segments and not slow_dispatch()
        trace = Trace(self.library, self.handle, loaded, inputs) if traced else None

        def run() -> None:
            if trace is None:
                loaded(*inputs)
            else:
                trace.replay()
            self.synchronize()

        try:
            yield run
        finally:
            if trace is not None:
                trace.release()


def _spec(value: Value) -> TensorSpec:
    assert isinstance(value.spec, TensorSpec)
    return value.spec


def _version() -> str:
    from importlib.metadata import version

    return version("ttnn")


def _open(ttnn: Any, chosen: Board | None) -> Any:
    options: dict[str, Any] = {"l1_small_size": L1_SMALL_SIZE, "num_command_queues": command_queues(chosen)}
    if not slow_dispatch():
        options["trace_region_size"] = TRACE_REGION_SIZE
    if is_mock() and len(ttnn.get_device_ids()) > 1:
        # A board of two chips dispatches from Ethernet cores; on a mock, ttnn 0.81.1 creates programs for Tensix ones.
        options["dispatch_core_config"] = ttnn.DispatchCoreConfig(ttnn.DispatchCoreType.WORKER)
    try:
        if chosen is not None:
            _require_board(ttnn, chosen)
        if chosen is not None and chosen.chips > 1:
            return ttnn.open_mesh_device(ttnn.MeshShape(1, chosen.chips), **options)
        return ttnn.open_device(device_id=0, **options)
    except RuntimeError as error:
        raise DeviceUnavailable(trouble(error)) from error


def command_queues(chosen: Board | None) -> int:
    """Two, so that inputs are written while a program runs; one where the host dispatches.

    A mock of two chips has Tensix cores to spare for one.
    """
    return 1 if slow_dispatch() or (is_mock() and chosen is not None and chosen.chips > 1) else 2


def _kind(ttnn: Any) -> str:
    return str(ttnn.cluster.get_cluster_type()).rpartition(".")[2].lower()


def _board_of(ttnn: Any, handle: Any) -> Board:
    """The board that was opened; where we do not know it (a system of several cards), a board of the same chip."""
    architecture = str(handle.arch()).rpartition(".")[2].lower()
    alike = (known for known in BOARDS.values() if known.architecture == architecture)
    return BOARDS.get(_kind(ttnn)) or next(alike)


def _require_board(ttnn: Any, chosen: Board) -> None:
    kind = _kind(ttnn)
    if kind != chosen.kind:
        raise DeviceUnavailable(f"this machine's board is {kind}, not {chosen.kind}: choose --device ttnn:{kind}")
