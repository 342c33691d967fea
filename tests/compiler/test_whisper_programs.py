"""Our Whisper at distil-large-v3's true shape: everything lowered, in as few device operations as by hand."""

import pytest

from sizes import DISTIL_LARGE_V3, captured
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.cost import program_cost
from ttscribe.compiler.settings import POLICIES, CompileSettings
from ttscribe.compiler.whisper_programs import PROGRAMS

pytestmark = pytest.mark.xdist_group(DISTIL_LARGE_V3)

# A hand-written program of the same model, counted on TT-NN 0.81.1's mock n150: 364 for the encoder, 12 for cross-KV,
# 52 for a decode step with head, argmax, token and position. It suppresses no tokens and does not say how likely the
# token is; ours does both, the latter with ten more. Nor does it spread a row over cores, for which ours has seven
# moves: of queries, keys and values in both layers, of cross attention's queries and heads, and after the last norm.
BY_HAND = {"encode": 364, "cross_kv": 12, "greedy_step": 52 + 10 + 7}


@pytest.mark.parametrize("name", PROGRAMS)
def test_distil_large_v3_is_lowered_whole(name):
    settings = CompileSettings(POLICIES["bfp8-hifi2"], strict=True)
    compiled = compile_graph(captured(DISTIL_LARGE_V3)[name], settings)
    assert compiled.program.host_segments == []
    assert compiled.report.share == 1.0
    if name in BY_HAND:
        assert program_cost(compiled.program).device_operations <= BY_HAND[name]


def test_encoder_flops_are_the_published_ones():
    """1.89 linear + 0.37 attention + 0.018 convolution TFLOP per window, derived from the model's shape."""
    program = compile_graph(captured(DISTIL_LARGE_V3)["encode"], CompileSettings(POLICIES["exact"])).program
    assert program_cost(program).flops == pytest.approx(2.27e12, rel=0.02)
