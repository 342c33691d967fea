"""Small programs, and a library that errs on purpose."""

import pytest

from standing_in import stand_in_simulator


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """TT-NN's stand-in on a simulator."""
    return stand_in_simulator(monkeypatch, tmp_path / "simulator")
