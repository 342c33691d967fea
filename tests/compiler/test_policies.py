"""Precision policies from files: single operations with settings of their own."""

import json

import pytest

from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.program import DType
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.errors import OptionError
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

MIXED = {
    "weights": "bfloat8_b",
    "fidelity": "HiFi3",
    "overrides": [
        {"operations": "encode.*_fc?_weight", "reason": "tried", "fidelity": "HiFi2"},
        {"operations": "encode.encoder_layers_0_fc1_weight", "reason": "the first is exact", "fidelity": "HiFi3"},
        {"operations": "encode.*_k_proj_weight", "reason": "joined with two others", "weights": "bfloat16"},
        {"operations": "encode.scaled_dot_product_attention", "reason": "tried", "fidelity": "HiFi2"},
    ],
}


@pytest.fixture
def written(tmp_path):
    """A function that writes a policy, as JSON or as it stands, and gives the file's name."""

    def write(content):
        path = tmp_path / "mixed.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture(scope="module")
def encode():
    return capture_program("encode", shape_only_model(SIZES["tiny.en"]))


def test_operations_have_the_settings_of_the_last_override_that_matches(written, encode):
    name = written(MIXED)
    program = compile_graph(encode, CompileSettings(policy(name))).program
    specs = program.specs()
    found = {}
    for op in program.ops:
        if op.target in ("ttnn.linear", "ttnn.transformer.scaled_dot_product_attention"):
            fidelity = op.attribute("compute_kernel_config")["math_fidelity"]
            weights = specs[op.operands[1]].dtype if op.target == "ttnn.linear" else None
            found.setdefault((op.target, weights), []).append(fidelity)
    assert program.precision == name
    # Four layers: queries, keys and values in one product of bfloat16, the output, and two of the feed-forward network.
    assert found == {
        ("ttnn.linear", DType.BFLOAT16): ["HiFi3"] * 4,
        ("ttnn.linear", DType.BFLOAT8_B): ["HiFi3", "HiFi3", "HiFi2", *["HiFi3", "HiFi2", "HiFi2"] * 3],
        ("ttnn.transformer.scaled_dot_product_attention", None): ["HiFi2"] * 4,
    }


def test_without_overrides_it_is_the_policy_that_has_a_name(written, encode):
    name = written({"weights": "bfloat8_b", "fidelity": "HiFi2"})
    ours, named = (compile_graph(encode, CompileSettings(policy(each))).program for each in (name, "bfp8-hifi2"))
    assert ours.body == named.body
    assert ours.constants == named.constants


def test_a_pattern_that_matches_nothing_is_refused(written, encode):
    name = written({**MIXED, "overrides": [{"operations": "encode.*fc3*", "reason": "", "fidelity": "HiFi2"}]})
    with pytest.raises(OptionError, match=r"'encode\.\*fc3\*' matches no operation of encode"):
        compile_graph(encode, CompileSettings(policy(name)))


def test_patterns_of_other_programs_are_left_alone(written, encode):
    name = written({**MIXED, "overrides": [{"operations": "prefill.*", "reason": "", "fidelity": "HiFi2"}]})
    assert compile_graph(encode, CompileSettings(policy(name))).program.body


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "Expecting property name"),
        ("[]", "it is JSON: {weights"),
        ({"weights": "bfloat8_b"}, "missing 1 required positional argument: 'fidelity'"),
        ({**MIXED, "fidelity": "HiFi4"}, "fidelity is HiFi3 or HiFi2, not HiFi4"),
        ({**MIXED, "weights": "bfloat4_b"}, "weights are bfloat16 or bfloat8_b, not bfloat4_b"),
        ({**MIXED, "weights": "fp8"}, "'fp8' is not a valid DType"),
        ({**MIXED, "more": 1}, "unexpected keyword argument 'more'"),
        ({**MIXED, "overrides": [{"operations": "encode.*"}]}, "missing 1 required positional argument: 'reason'"),
        ({**MIXED, "overrides": [{"operations": "encode.*", "reason": "", "fidelity": "LoFi"}]}, "not LoFi"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_with_what_it_should_be(written, content, problem):
    with pytest.raises(OptionError, match=r"^policy .*mixed\.json: .*it is JSON") as found:
        policy(written(content))
    assert problem in str(found.value)


def test_a_file_that_is_no_text_is_one_clear_line(tmp_path):
    path = tmp_path / "mixed.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match=r"^policy .*mixed\.json is no text in UTF-8: "):
        policy(str(path))


def test_a_file_that_is_not_there_is_one_clear_line():
    with pytest.raises(OptionError, match=r"^policy nowhere\.json: No such file or directory$"):
        policy("nowhere.json")
