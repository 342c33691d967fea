"""Emitted scripts run on a mock board as they are."""

import ast
import subprocess
import sys

import pytest

from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.emit import to_script
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.devices.ttnn.mock import mock_environment

pytestmark = pytest.mark.xdist_group("emitted-scripts")


@pytest.fixture
def script(small_model, tmp_path):
    """Write a program's script."""

    def write(name, precision="bfp8-mixed"):
        captured = capture_program(name, small_model, suppress=(1, 5))
        path = tmp_path / f"{name}.py"
        path.write_text(to_script(compile_graph(captured, CompileSettings(policy(precision))).program, path.name))
        return path

    return write


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_script_runs_on_a_mock_board(script, name, tmp_path):
    done = subprocess.run(
        [sys.executable, script(name)],
        env=mock_environment("n150"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_script_needs_only_ttnn_and_torch(script, name):
    assert set(imported(script(name))) == {"sys", "torch", "ttnn"}
