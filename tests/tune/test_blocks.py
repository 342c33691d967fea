"""Blocks of the inner dimension as TT-NN itself has them: the size of its buffers tells."""

from dataclasses import replace

import pytest

from ttscribe.check import Checkable, check_programs
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.operations.kernels import inner_block
from ttscribe.compiler.program import DRAM
from ttscribe.compiler.tuned import Configuration, configured
from ttscribe.tune.search import alone
from tune.products import linear

# Rows, inner dimension and columns, and how TT-NN shares the result out where it is given a grid. Of one row of tiles
# the blocks depend on how many cores there are.
SHAPES = (
    *((1500, 384, 1152, "blocks"), (1500, 1536, 384, "blocks"), (1500, 1280, 5120, "blocks")),
    *((1, 1280, 51866, "columns"), (1, 4096, 1024, "columns"), (1, 2048, 512, "columns")),
)


def explicit(op, specs, board, shared, block):
    """The call with TT-NN's own sharing spelt out, with that block."""
    (x, y), rows, columns = board.grid, -(-specs["x"].shape[-2] // 32), -(-specs["w"].shape[-1] // 32)
    share = (rows, -(-columns // (x * y))) if shared == "columns" else (-(-rows // y), -(-columns // x))
    return configured(op, Configuration(shared, board.grid, block, 1, 1, *share).config(None))


@pytest.mark.parametrize("name", ["n150", "n300", "p150"])
def test_a_call_left_to_ttnn_has_the_buffers_of_the_block_that_we_take_it_to_have(name, mock_board):
    board, programs, ours = BOARDS[name], [], []
    for rows, inner, columns, shared in SHAPES:
        op, specs = linear(rows, inner, columns, memory=DRAM, memory_config=None)
        cores = board.grid[0] * board.grid[1]
        ours.append(inner_block(op, specs["x"].shape, specs["w"].shape, cores))
        calls = [op, *(explicit(op, specs, board, shared, block) for block in (1, 2, 4))]
        programs += [replace(alone(call, specs), name=f"{len(programs) + at}") for at, call in enumerate(calls)]
    checked = check_programs([Checkable(program, {}) for program in programs], name)
    assert checked.accepted
    peaks = [program.peak_l1 for program in checked.programs]
    of_calls = [peaks[at : at + 4] for at in range(0, len(peaks), 4)]
    assert [(1, 2, 4)[spelt.index(left)] for left, *spelt in of_calls] == ours
    assert all(len({*spelt}) == 3 for _, *spelt in of_calls)
