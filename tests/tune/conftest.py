"""Searches on a mock board, and time that passes as we say."""

import importlib.util
from functools import partial

import pytest

from tune.timed import timed_by


@pytest.fixture
def mock_board():
    """Named by tests that need TT-NN's host software."""
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")


@pytest.fixture
def card(monkeypatch):
    """Make a stand-in for a card, of calls' costs."""
    return partial(timed_by, monkeypatch)
