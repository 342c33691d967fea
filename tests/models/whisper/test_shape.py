"""distil-large-v3 at its true shape, without weights, under bf16-hifi3: what the compiler makes of each program."""

import pytest

from sizes import DISTIL_LARGE_V3, captured
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.whisper.config import SIZES

pytestmark = pytest.mark.xdist_group(DISTIL_LARGE_V3)
POLICY = "bf16-hifi3"


@pytest.fixture(scope="module")
def shape_of_distil_large_v3():
    """Its programs at the true shape by name, compiled of no weights at all."""
    settings = CompileSettings(policy(POLICY))
    return {name: compile_graph(graph, settings).program for name, graph in captured(DISTIL_LARGE_V3).items()}


def test_the_shape_of_distil_large_v3_without_weights_compiles_whole(shape_of_distil_large_v3):
    assert all(program.ops and program.host_segments == [] for program in shape_of_distil_large_v3.values())


def test_the_shape_of_distil_large_v3_without_weights_is_its_true_shape_at_batch_1(shape_of_distil_large_v3):
    config, programs = SIZES["distil-large-v3"], shape_of_distil_large_v3
    (mel,) = programs["encode"].inputs
    assert mel.spec.shape == (1, 3000, config.num_mel_bins)
    token, position, *state = programs["greedy_step"].inputs
    assert (token.spec.shape, position.spec.shape) == ((1,), (1,))
    assert len(state) == 4 * config.decoder_layers == 8
    attended = {"encode": 32, "cross_kv": 0, "prefill": 4, "decode_step": 4, "greedy_step": 4, "timed_step": 4}
    assert {
        name: sum("scaled_dot_product_attention" in op.target for op in program.ops)
        for name, program in programs.items()
    } == attended


def test_the_shape_of_distil_large_v3_without_weights_is_compiled_for_bfloat16(shape_of_distil_large_v3):
    programs = shape_of_distil_large_v3.values()
    assert {program.precision for program in programs} == {POLICY}
    for program in programs:
        dtypes = {constant.value.name: constant.value.spec.dtype.value for constant in program.constants}
        # Biases are added to sums of 32 bits, but for the vocabulary's.
        inner = [op for op in program.ops if op.target == "ttnn.linear" and op.output.spec.dtype.value == "bfloat16"]
        biases = {op.keyword("bias") for op in inner} - {None}
        assert {dtypes[name] for name in biases} <= {"float32"}
        assert {dtype for name, dtype in dtypes.items() if name not in biases and "float" in dtype} == {"bfloat16"}
