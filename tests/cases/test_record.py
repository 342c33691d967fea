"""Recording with a stand-in for the library, in processes that it may end."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ttscribe.cases import Recorder, read_cases
from ttscribe.cli.app import app
from ttscribe.errors import DeviceUnavailable, OptionError

pytestmark = pytest.mark.xdist_group("record")

X = {"shape": [32, 64], "dtype": "bfloat16", "drawn": {"kind": "normal", "seed": 1}}
KEPT = {"shape": [32, 64], "dtype": "bfloat16", "key": "abc"}


def case(name, target, inputs=None, args=({"tensor": "x"},), **kwargs):
    return {"name": name, "target": target, "args": list(args), "kwargs": kwargs, "inputs": inputs or {"x": X}}


@pytest.fixture
def record(stand_in, written, tmp_path, monkeypatch):
    """Record cases, with faults in the operations of these names: the lines of the folder by name, and its values."""
    folder = tmp_path / "recorded"

    def run(*cases, errs="", values=None, timeout_s=60.0):
        monkeypatch.setenv("TTNN_STAND_IN_ERRS", errs)
        recorder = Recorder(folder, "ttnn", timeout_s)
        for each in read_cases(written(*cases)):
            recorder.record(each, values or {})
        lines = map(json.loads, (folder / "cases.jsonl").read_text().splitlines())
        return {line["name"]: line for line in lines}, load_file(folder / "values.safetensors")

    return run


def test_a_case_is_recorded_with_values_references_and_what_it_ran_on(record):
    lines, values = record(case("gelu", "ttnn.gelu", fast_and_approximate_mode=False))
    line = lines["gelu"]
    assert (line["status"], line["target"], line["kwargs"]) == ("ok", "ttnn.gelu", {"fast_and_approximate_mode": False})
    x, out = line["inputs"]["x"], line["outputs"]["out0"]
    assert x == {"shape": [32, 64], "dtype": "bfloat16", "layout": "tile", "memory": "dram", "key": x["key"]}
    assert {name: out[name] for name in ("shape", "dtype", "layout", "memory", "sharded")} == {
        **{name: x[name] for name in ("shape", "dtype", "layout", "memory")},
        "sharded": False,
    }
    assert values[x["key"]].dtype == torch.bfloat16
    wanted = torch.nn.functional.gelu(values[x["key"]].float())
    assert torch.equal(values[out["key"]], wanted.to(torch.bfloat16))
    assert (out["equal"], round(out["pcc"], 4)) == (1.0, 1.0)
    assert 0 < out["max_abs"] < 0.01
    assert line["ran_on"]["device"] == "n150"
    assert line["ran_on"]["provenance"] == "simulated"


def test_what_a_kernel_does_otherwise_is_in_its_values(record):
    lines, _ = record(case("gelu", "ttnn.gelu"), errs="gelu")
    assert lines["gelu"]["status"] == "ok"
    assert 0.02 < lines["gelu"]["outputs"]["out0"]["max_abs"] < 0.03
    assert lines["gelu"]["outputs"]["out0"]["equal"] < 0.9


def test_an_input_that_is_written_is_read_back_after_the_call(record):
    position = {"shape": [1], "dtype": "int32", "layout": "row_major", "drawn": {"kind": "full", "low": 5}}
    lines, values = record(case("plus_one", "ttnn.plus_one", {"x": position}))
    line = lines["plus_one"]
    assert line["outputs"].keys() == {"out0", "x.after"}
    assert line["outputs"]["x.after"]["written"] is True
    assert (values[line["inputs"]["x"]["key"]].tolist(), values[line["outputs"]["x.after"]["key"]].tolist()) == (
        [5],
        [6],
    )
    assert line["outputs"]["x.after"]["equal"] == 1.0


def test_a_host_tensor_and_the_device_are_given_as_they_are(record):
    inputs = {"x": {**X, "shape": [1, 32, 64], "layout": "row_major"}, "w": {**X, "shape": [64, 64, 3], "host": True}}
    sizes = {"in_channels": 64, "out_channels": 64, "batch_size": 1, "input_length": 32, "kernel_size": 3}
    activation = {"kind": "UnaryWithParam", "op": "GELU", "param": 0.0}
    lines, _ = record(
        case(
            "conv1d",
            "ttnn.conv1d",
            inputs,
            args=(),
            input_tensor={"tensor": "x"},
            weight_tensor={"tensor": "w"},
            device={"kind": "device"},
            conv_config={"kind": "Conv1dConfig", "activation": activation},
            **sizes,
            stride=1,
            padding=1,
        )
    )
    line = lines["conv1d"]
    assert (line["status"], line["inputs"]["w"]["host"]) == ("ok", True)
    assert line["outputs"]["out0"]["pcc"] > 0.9999


def test_what_is_refused_ends_the_process_or_does_not_end_is_recorded_as_that(record):
    lines, _ = record(
        case("add", "ttnn.add", {"x": X, "y": X}, args=({"tensor": "x"}, {"tensor": "y"})),
        case("unknown", "ttnn.no_such_operation"),
        case("relu", "ttnn.relu"),
        errs="add,relu",
    )
    assert (lines["add"]["status"], lines["add"]["message"]) == ("refused", "Shapes cannot be added (a == b)")
    assert lines["unknown"]["status"] == "refused"
    assert (lines["relu"]["status"], lines["relu"]["message"]) == ("unsupported", "the process was ended (SIGSEGV)")
    assert "outputs" not in lines["relu"]


def test_a_case_that_does_not_end_is_given_up(record):
    lines, _ = record(case("exp", "ttnn.exp"), errs="exp", timeout_s=8.0)
    assert (lines["exp"]["status"], lines["exp"]["message"]) == ("timeout", "did not end within 8 s")


def test_a_folder_is_added_to_and_equal_tensors_are_stored_once(record):
    x = torch.arange(32 * 64).reshape(32, 64).to(torch.bfloat16)
    record(case("one", "ttnn.relu", {"x": KEPT}), values={"abc": x})
    lines, values = record(case("two", "ttnn.relu", {"x": KEPT}), values={"abc": x})
    assert list(lines) == ["one", "two"]
    # relu of what is not negative is the same tensor.
    assert len(values) == 1
    assert lines["one"]["inputs"]["x"]["key"] == lines["two"]["outputs"]["out0"]["key"]


def test_a_recorded_file_records_again(record, tmp_path):
    lines, values = record(case("gelu", "ttnn.gelu"), case("relu", "ttnn.relu"))
    again = {**lines["gelu"], "name": "gelu.again"}
    more, _ = record(again, values=values)
    assert {**more["gelu.again"], "name": "gelu"} == lines["gelu"]


def test_a_mock_board_and_other_devices_are_refused(monkeypatch, tmp_path):
    with pytest.raises(OptionError, match="not on emulator"):
        Recorder(tmp_path, "emulator")
    monkeypatch.setenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", "n150.yaml")
    with pytest.raises(DeviceUnavailable, match="a mock board computes nothing"):
        Recorder(tmp_path)


def test_a_folder_of_something_else_is_left_alone(stand_in, tmp_path):
    (tmp_path / "cases.jsonl").write_text("[1, 2]\n")
    with pytest.raises(OptionError, match="is no file of cases"):
        Recorder(tmp_path)


def test_the_command_goes_on_where_it_was_interrupted(stand_in, written, tmp_path):
    from typer.testing import CliRunner

    cases = written(
        case("gelu", "ttnn.gelu"),
        case("kept", "ttnn.relu", {"x": KEPT}),
        case("lost", "ttnn.relu", {"x": KEPT | {"key": "no"}}),
    )
    save_file({"abc": torch.ones(32, 64)}, tmp_path / "given.safetensors")
    arguments = ["record", "--cases", cases, "--values", tmp_path / "given.safetensors", "--output", tmp_path / "out"]

    def run(*more):
        done = CliRunner().invoke(app, [str(each) for each in (*arguments, *more)])
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout.splitlines()

    first = run("--only", "g*")
    assert first[0].startswith("gelu: ok, correlation with float32 0.99999")
    assert run() == [
        "kept: ok, correlation with float32 1.0000000",
        "lost: left out: no values of x",
        f"{tmp_path / 'out'}: 1 ok, 0 refused, 0 unsupported, 0 timeout; 1 were there",
    ]
