"""Chosen configurations in place of those that rules give."""

import pytest

from compiler.building import Building, assert_same
from ttscribe.compiler.boards import BOARDS
from ttscribe.compiler.emit import to_script
from ttscribe.compiler.passes.tuned import use_tuned
from ttscribe.compiler.program import Config
from ttscribe.compiler.serialise import from_json, to_json
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.text import call_text, to_text
from ttscribe.compiler.tuned import Configuration, Tuned

CHOSEN = Configuration("blocks", (8, 8), 4, 1, 2, 1, 2)


@pytest.fixture
def small():
    """Two products, of which one is chosen for, and its program."""
    b = Building()
    x = b.given("x", 1, 1, 64, 128)
    grid = Config("FullGrid", ())
    first = b.op("ttnn.linear", x, b.weight("w1", 128, 64), activation="gelu", core_grid=grid)
    b.op("ttnn.linear", first, b.weight("w2", 64, 64), core_grid=grid)
    return b.program(b.body[-1].output.name), b.params


def settings(program, *steps):
    calls = tuple((call_text(program, program.ops[step]), CHOSEN) for step in steps)
    return CompileSettings(policy("exact"), BOARDS["n150"], tuned=Tuned(calls))


def test_a_chosen_call_says_its_configuration_and_computes_the_same(small):
    program, params = small
    after = use_tuned(program, settings(program, 0))
    assert_same(program, after, params)
    chosen, other = after.ops
    assert other == program.ops[1]
    assert {name for name, _ in chosen.attributes} == {"program_config"}
    assert chosen.attribute("program_config") == CHOSEN.config(
        Config("UnaryWithParam", (("op", "GELU"), ("param", 0.0)))
    )


def test_what_has_no_choice_stays(small):
    program, _ = small
    assert use_tuned(program, CompileSettings()) is program
    elsewhere = CompileSettings(tuned=Tuned((("ttnn.linear(something else)", CHOSEN),)))
    assert use_tuned(program, elsewhere) == program


def test_a_choice_is_in_every_form_of_the_program(small):
    program, _ = small
    after = use_tuned(program, settings(program, 0, 1))
    assert from_json(to_json(after)) == after
    assert "MatmulMultiCoreReuseMultiCastProgramConfig2" in to_text(after)
    script = to_script(after)
    compile(script, "script.py", "exec")
    assert (
        "ttnn.MatmulMultiCoreReuseMultiCastProgramConfig(compute_with_storage_grid_size=ttnn.CoreCoord(8, 8), "
        "in0_block_w=4, out_subblock_h=1, out_subblock_w=2, per_core_M=1, per_core_N=2, fused_activation=None, "
        "transpose_mcast=False)"
    ) in script
