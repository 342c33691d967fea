"""Cases as data: what a file may hold, and numbers that are drawn."""

import json

import pytest
import torch

from ttscribe.cases.case import Drawn, attribute, draw, read_cases
from ttscribe.compiler.operations.arguments import source, ttnn_argument
from ttscribe.errors import OptionError

X = {"shape": [32, 64], "dtype": "bfloat16", "drawn": {"kind": "normal"}}
GELU = {"name": "gelu", "target": "ttnn.gelu", "args": [{"tensor": "x"}], "inputs": {"x": X}}


def test_results_in_a_file_are_passed_over(written):
    recorded = {**GELU, "status": "ok", "group": "g", "kwargs": {}, "outputs": {"out0": {"key": "a", "pcc": 1.0}}}
    (case,) = read_cases(written(recorded))
    assert (case.name, case.group, case.inputs["x"].shape) == ("gelu", "g", (32, 64))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"args": [{"tensor": "y"}]}, "line 2: the call takes 'y', which is no input"),
        ({"inputs": {"x": {**X, "dtype": "float8"}}}, "'float8' is not a valid DType"),
        ({"inputs": {"x": {**X, "drawn": {"kind": "normal", "mean": 1}}}}, "unknown field `mean`"),
        ({"kwargs": {"dtype": {"kind": "dtype", "name": "bf16"}}}, "'bf16' is not a valid DType"),
        ({"target": 7}, "Expected `str`, got `int`"),
    ],
)
def test_a_wrong_line_is_named(written, changed, says):
    with pytest.raises(OptionError, match=r"given.jsonl, line 2: ") as refused:
        read_cases(written(GELU, {**GELU, **changed}))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(OptionError, match=r"absent.jsonl: cannot be read"):
        read_cases(tmp_path / "absent.jsonl")


def test_numbers_are_the_same_each_time():
    assert torch.equal(
        draw(Drawn("normal", 3, 2.0), (4, 5), floating=True), draw(Drawn("normal", 3, 2.0), (4, 5), floating=True)
    )
    assert draw(Drawn("ramp", low=-1, high=1), (1, 5), floating=True).tolist() == [[-1, -0.5, 0, 0.5, 1]]
    whole = draw(Drawn("integers", low=3, high=6), (64,), floating=False)
    assert (set(whole.tolist()), whole.dtype) == ({3, 4, 5}, torch.int32)
    assert draw(Drawn("full", low=7), (2,), floating=False).tolist() == [7, 7]
    with pytest.raises(OptionError, match="not as 'poisson'"):
        draw(Drawn("poisson"), (2,), floating=True)


@pytest.mark.parametrize(
    ("item", "python"),
    [
        ({"kind": "CoreGrid", "y": 8, "x": 8}, "ttnn.CoreGrid(y=8, x=8)"),
        ({"kind": "UnaryWithParam", "op": "GELU", "param": None}, "ttnn.UnaryWithParam(ttnn.UnaryOpType.GELU)"),
        ({"kind": "UnaryWithParam", "op": "GELU", "param": 0.0}, "ttnn.UnaryWithParam(ttnn.UnaryOpType.GELU, 0.0)"),
        ({"kind": "memory", "buffer": "l1"}, "ttnn.L1_MEMORY_CONFIG"),
        ({"kind": "dtype", "name": "bfloat8_b"}, "ttnn.bfloat8_b"),
        (
            {
                "kind": "Conv1dConfig",
                "activation": {"kind": "UnaryWithParam", "op": "GELU_TANH", "param": 1.0},
            },
            "ttnn.Conv1dConfig(activation=ttnn.UnaryWithParam(ttnn.UnaryOpType.GELU_TANH, 1.0))",
        ),
        (
            {
                "kind": "MatmulMultiCoreReuseMultiCast1DProgramConfig",
                "compute_with_storage_grid_size": [2, 1],
            },
            "ttnn.MatmulMultiCoreReuseMultiCast1DProgramConfig(compute_with_storage_grid_size=ttnn.CoreCoord(2, 1))",
        ),
    ],
)
def test_objects_are_those_of_ttnn(item, python):
    assert source(ttnn_argument(attribute(json.loads(json.dumps(item))))) == python
