"""Passes: Program to Program, in one visible order. Each takes the settings too: board, precision."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from ttscribe.compiler.passes.activations import fuse_activation, fuse_bias
from ttscribe.compiler.passes.boundary import (
    increment_in_place,
    propagate_layouts_to_inputs,
    skip_regrouping_before_convolutions,
    write_into_state,
)
from ttscribe.compiler.passes.cache import update_caches_in_place
from ttscribe.compiler.passes.embeddings import add_rows_before_tiling
from ttscribe.compiler.passes.heads import fuse_heads, join_heads
from ttscribe.compiler.passes.memory import (
    choose_attention_chunks,
    convolve_in_l1,
    free_after_last_use,
    place_in_memory,
)
from ttscribe.compiler.passes.moves import cancel_moves
from ttscribe.compiler.passes.precision import choose_precision
from ttscribe.compiler.passes.rank import use_four_dimensions
from ttscribe.compiler.passes.rows import spread_rows
from ttscribe.compiler.passes.tuned import use_tuned
from ttscribe.compiler.program import Program
from ttscribe.compiler.settings import CompileSettings

Pass: TypeAlias = Callable[[Program, CompileSettings], Program]

PASSES: Mapping[str, Pass] = {
    # Moves first: a permutation between a product and its sum or activation would hide them from each other.
    "cancel_moves": cancel_moves,
    "fuse_bias": fuse_bias,
    "fuse_activation": fuse_activation,
    "fuse_heads": fuse_heads,
    "join_heads": join_heads,
    # Looks for heads that are cut, and for the scatters that write them.
    "update_caches_in_place": update_caches_in_place,
    "add_rows_before_tiling": add_rows_before_tiling,
    "use_four_dimensions": use_four_dimensions,
    "skip_regrouping_before_convolutions": skip_regrouping_before_convolutions,
    "propagate_layouts_to_inputs": propagate_layouts_to_inputs,
    "increment_in_place": increment_in_place,
    # Once more: the passes before this one bring moves together that were apart.
    "cancel_moves_again": cancel_moves,
    "write_into_state": write_into_state,
    # After the fusions, which take only products that nothing is asked of yet; before convolve_in_l1, which adds to a
    # convolution's configuration.
    "choose_precision": choose_precision,
    "choose_attention_chunks": choose_attention_chunks,
    "convolve_in_l1": convolve_in_l1,
    # Sizes, element types and readers are final.
    "place_in_memory": place_in_memory,
    # After it: what cannot be read spread is copied to where it would have been.
    "spread_rows": spread_rows,
    # A call is known by all that the passes before have said of it.
    "use_tuned": use_tuned,
    "free_after_last_use": free_after_last_use,
}


def stages(program: Program, settings: CompileSettings) -> Iterator[tuple[str, Program]]:
    """The program as lowered, then after each pass, by the pass's name."""
    yield "lowered", program
    for name, apply in PASSES.items():
        program = apply(program, settings)
        yield name, program


def optimise(program: Program, settings: CompileSettings) -> Program:
    """The program after every pass."""
    *_, (_, final) = stages(program, settings)
    return final


__all__ = ["PASSES", "Pass", "optimise", "stages"]
