"""``ttscribe check``, as a user types it."""

import importlib.util
import json
import sys

import pytest
import torch

PROGRAMS = ["encode", "cross_kv", "prefill", "decode_step", "greedy_step", "timed_step"]

FACTORIES = """
import torch
from torch import nn

def layers():
    return nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)).eval(), (torch.zeros(1, 64, 64),)

def only_a_module():
    return nn.Linear(64, 64)

def inputs_in_a_list():
    return nn.Linear(64, 64), [torch.zeros(1, 64)]
"""


@pytest.fixture
def ttnn_is_installed():
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """A module of the current folder, by name."""
    (tmp_path / "some_factories.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    yield "some_factories"
    sys.modules.pop("some_factories", None)
    torch._dynamo.reset()


def test_a_model_is_told_in_a_row_for_each_program_and_a_verdict(ttscribe, ttnn_is_installed):
    result = ttscribe("check", "tiny.en", "--offline", "--board", "n150", "--precision", "bf16-hifi3")
    assert (result.exit_code, result.stderr) == (0, "")
    head, *rows, held, verdict = result.stdout.splitlines()
    assert head.split()[:2] == ["program", "calls"]
    assert [row.split()[0] for row in rows] == PROGRAMS
    assert held.startswith("DRAM held by all: ")
    assert verdict.startswith("validated: every call is accepted by TT-NN ")
    assert verdict.endswith(" on a mock n150, bf16-hifi3; nothing stays on the host")


def test_a_module_of_the_current_folder_is_checked(ttscribe, factories, ttnn_is_installed):
    result = ttscribe("check", "--module", f"{factories}:layers", "--board", "p150", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert (report["accepted"], report["board"], report["findings"]) == (True, "p150", [])
    assert [program["program"] for program in report["programs"]] == ["graph_0"]
    assert report["verdict"].startswith("validated: ")


def test_what_stays_on_the_host_is_named_and_the_status_is_1(ttscribe, factories, ttnn_is_installed, tmp_path):
    blocks = tmp_path / "blocks.json"
    blocks.write_text(json.dumps([{"op": "aten.gelu.*", "reason": "to see what happens"}]))
    result = ttscribe("check", "--module", f"{factories}:layers", "--blocklist", blocks)
    assert (result.exit_code, result.stderr) == (1, "")
    *_, finding, verdict = result.stdout.splitlines()
    assert "host_segment: aten.gelu.default: stays in PyTorch (blocked)" in finding
    assert finding.endswith("to see what happens")
    assert verdict.startswith("not validated: 1 finding by TT-NN ")


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("no_such_package:layers", "No module named 'no_such_package'; it is written PACKAGE:FACTORY"),
        ("some_factories:absent", "has no attribute 'absent'; it is written PACKAGE:FACTORY"),
        ("some_factories", "it is written PACKAGE:FACTORY"),
        (":layers", "it is written PACKAGE:FACTORY"),
        ("some_factories:only_a_module", "the factory gives a module and a tuple of example inputs, not Linear("),
        ("some_factories:inputs_in_a_list", "the factory gives a module and a tuple of example inputs, not (Linear("),
    ],
)
def test_a_wrong_module_is_one_line(ttscribe, factories, named, says):
    result = ttscribe("check", "--module", named)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"ttscribe: error: --module {named}: ")
    assert says in result.stderr


@pytest.mark.parametrize("arguments", [[], ["tiny.en", "--module", "some:thing"]], ids=["neither", "both"])
def test_a_model_or_a_module_is_asked_for(ttscribe, arguments):
    result = ttscribe("check", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "ttscribe: error: give a MODEL, or --module PACKAGE:FACTORY\n"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["enormous", "--offline"], 1, "enormous"),
        (["tiny.en", "--precision", "fp3"], 1, "no precision is called 'fp3'; there is exact"),
        (["tiny.en", "--blocklist", "absent.json"], 1, "blocklist absent.json"),
        (["tiny.en", "--board", "n151"], 2, "'n151' is not one of 'n150', 'n300', 'n300x2', 'p150'"),
    ],
    ids=["model", "precision", "blocklist", "board"],
)
def test_mistakes_are_named(ttscribe, arguments, status, says):
    result = ttscribe("check", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert says in result.stderr
