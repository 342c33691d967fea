"""Cases that were recorded of real kernels: their calls are accepted as then, their references computed as then."""

import json
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from places import SIMULATED
from ttscribe.cases import read_cases
from ttscribe.cases.reference import compared, reference, written
from ttscribe.devices.ttnn.mock import mock_environment

pytestmark = pytest.mark.xdist_group("recorded-cases")

ACCEPTED = """
import json, os, sys
from pathlib import Path
from safetensors.torch import load_file
from ttscribe.cases import read_cases
from ttscribe.cases.worker import Worker
from ttscribe.devices.ttnn.device import TtnnDevice

folder, names = Path(sys.argv[1]), set(json.loads(sys.argv[2]))
values, device, told = load_file(folder / "values.safetensors"), TtnnDevice("n150"), {}
for case in read_cases(folder / "cases.jsonl"):
    if case.name in names:
        outputs = Worker(device, case, {name: values[each.key] for name, each in case.inputs.items()}).run()["outputs"]
        told[case.name] = {name: each for name, each in outputs.items() if not name.endswith(".after")}
print(json.dumps(told))
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def recorded():
    """By name, of the cases that ran: the case, and its line."""
    if not SIMULATED.is_dir():
        pytest.skip("the recorded values (../shared/simulated) are not here")
    lines = map(json.loads, (SIMULATED / "cases.jsonl").read_text().splitlines())
    cases = {case.name: case for case in read_cases(SIMULATED / "cases.jsonl")}
    return {line["name"]: (cases[line["name"]], line) for line in lines if line["status"] == "ok"}


def test_references_are_those_that_were_recorded(recorded):
    values = load_file(SIMULATED / "values.safetensors")
    unknown = []
    for name, (case, line) in recorded.items():
        wanted = reference(case, {key: values[each.key] for key, each in case.inputs.items()})
        if wanted is None:
            unknown.append(name)
            continue
        assert {f"{each}.after" for each in written(case)} == {each for each in line["outputs"] if "after" in each}
        for output, told in line["outputs"].items():
            if told.get("pcc") is None:
                continue
            theirs = wanted.inputs[output.removesuffix(".after")] if "." in output else wanted.results[int(output[3:])]
            ours = compared(values[told["key"]], theirs)
            assert abs(ours["pcc"] - told["pcc"]) < 2e-6, name
            assert abs(ours["max_abs"] - told["max_abs"]) < 1e-4 * max(1, told["max_ref"]), name
    assert unknown == ["gelu.linear.gelu_approx"]


def test_ttnn_accepts_the_calls_and_gives_what_it_gave(recorded):
    command = [sys.executable, "-c", ACCEPTED, str(SIMULATED), json.dumps(list(recorded))]
    done = subprocess.run(command, env=mock_environment("n150"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for name, (_, line) in recorded.items():
        plain = ("shape", "dtype", "layout", "memory", "sharded")
        wanted = {
            output: {word: each[word] for word in plain}
            for output, each in line["outputs"].items()
            if not output.endswith(".after")
        }
        assert told[name] == wanted, name
