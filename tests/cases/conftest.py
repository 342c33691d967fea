"""A stand-in for the library in processes of their own, and cases by hand."""

import json
import os

import pytest

from standing_in import FOLDER, stand_in_simulator


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """The stand-in on a simulator, here and in processes that are started; faults by TTNN_STAND_IN_ERRS."""
    path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    return stand_in_simulator(monkeypatch, tmp_path / "simulator")


@pytest.fixture
def written(tmp_path):
    """A file of these cases."""

    def write(*cases):
        path = tmp_path / "given.jsonl"
        path.write_text("".join(f"{json.dumps(case)}\n" for case in cases))
        return path

    return write
