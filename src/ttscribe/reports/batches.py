"""Steps of several windows at a time: compiled as the others, and what their kernels add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ttscribe.compiler.boards import Board
from ttscribe.compiler.compilation import Compiled
from ttscribe.compiler.cost import program_cost
from ttscribe.compiler.program import Program, Role, TensorSpec
from ttscribe.devices.programs import ProgramRunner
from ttscribe.devices.ttnn.runner import most_windows
from ttscribe.reports.constants import CHIPS
from ttscribe.reports.kernel_times import (
    RATES,
    WINDOW_SECONDS,
    WINDOW_TOKENS,
    Range,
    Rates,
    added,
    first_token,
    kernel_times,
    moved,
    total,
)
from ttscribe.reports.schema import Batch, KernelTimes
from ttscribe.reports.work import NEXT_TOKEN
from ttscribe.whisper.config import WhisperConfig

_SIZES = (2, 8)


def sizes(config: WhisperConfig, board: Board) -> Sequence[int]:
    """Windows a chip that are told of: a few, and the most that it takes."""
    most = most_windows(config, board)
    return sorted({*(size for size in _SIZES if size < most), most})


def compiled_steps(runner: ProgramRunner, board: Board) -> Mapping[int, Compiled]:
    """The step that picks tokens under the grammar of timestamps, by how many windows a chip it takes."""
    (step,) = NEXT_TOKEN
    return {size: runner.compiled(step, size) for size in sizes(runner.config, board)}


def batches(steps: Mapping[int, Compiled], kernels: Sequence[KernelTimes], board: Board) -> tuple[Batch, ...]:
    """What each of ``steps`` brings beside the programs of one window, whose ``kernels`` these are."""
    return tuple(_batch(windows, each.program, kernels, board) for windows, each in steps.items())


def _batch(windows: int, program: Program, kernels: Sequence[KernelTimes], board: Board) -> Batch:
    chip = CHIPS[board.name]
    step = total(kernel_times(program, chip), [program.name])
    # A window is encoded and its prompt read as if alone.
    each = added(first_token(kernels), _put_by(program, windows, RATES[chip]))
    least, most = (
        (alone + (WINDOW_TOKENS - 1) * together / windows) / WINDOW_SECONDS / board.chips
        for alone, together in zip(each, step, strict=True)
    )
    operations = program_cost(program).device_operations
    return Batch(windows * board.chips, operations, *step, least, most)


def _put_by(program: Program, windows: int, rates: Rates) -> Range:
    """Seconds to copy a window's caches to its row of a step's, and its encoder states out of the way and back."""
    sizes = [spec.bytes for value in program.inputs_of(Role.STATE) if isinstance(spec := value.spec, TensorSpec)]
    # Keys of cross-attention, the largest of them, have an encoder state's size. Each is read and written.
    return moved(2 * (sum(sizes) + 2 * max(sizes)) / windows, rates.caches)
