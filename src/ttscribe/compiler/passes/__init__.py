"""Passes: Program to Program, in one visible order."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from ttscribe.compiler.passes.activations import fuse_activation, fuse_bias
from ttscribe.compiler.passes.boundary import (
    convolutions_take_rows,
    count_in_place,
    inputs_as_read,
    write_into_state,
)
from ttscribe.compiler.passes.cache import update_caches_in_place
from ttscribe.compiler.passes.embeddings import add_rows_before_tiling
from ttscribe.compiler.passes.heads import fuse_heads, join_heads
from ttscribe.compiler.passes.memory import (
    convolve_in_l1,
    free_after_last_use,
    place_in_memory,
    size_attention,
)
from ttscribe.compiler.passes.moves import cancel_moves
from ttscribe.compiler.passes.precision import DEFAULT_POLICY, POLICIES, Precision, choose_precision, policy
from ttscribe.compiler.passes.rank import four_dimensions
from ttscribe.compiler.program import Program

Pass: TypeAlias = Callable[[Program], Program]


def passes(precision: Precision) -> dict[str, Pass]:
    """Every pass by name, in the order in which they run."""
    return {
        "cancel_moves": cancel_moves,
        "fuse_bias": fuse_bias,
        "fuse_activation": fuse_activation,
        "fuse_heads": fuse_heads,
        "join_heads": join_heads,
        "update_caches_in_place": update_caches_in_place,
        "add_rows_before_tiling": add_rows_before_tiling,
        "four_dimensions": four_dimensions,
        "convolutions_take_rows": convolutions_take_rows,
        "inputs_as_read": inputs_as_read,
        "count_in_place": count_in_place,
        "join_moves": cancel_moves,
        "write_into_state": write_into_state,
        "choose_precision": partial(choose_precision, precision=precision),
        "size_attention": size_attention,
        "convolve_in_l1": convolve_in_l1,
        "place_in_memory": place_in_memory,
        "free_after_last_use": free_after_last_use,
    }


def stages(program: Program, precision: Precision) -> Iterator[tuple[str, Program]]:
    """The program as lowered, then after each pass, by the pass's name."""
    yield "lowered", program
    for name, apply in passes(precision).items():
        program = apply(program)
        yield name, program


def optimise(program: Program, precision: Precision) -> Program:
    """The program after every pass."""
    *_, (_, final) = stages(program, precision)
    return final


__all__ = ["DEFAULT_POLICY", "POLICIES", "Pass", "Precision", "optimise", "passes", "policy", "stages"]
