"""Checks need TT-NN's host software, and no card."""

import importlib.util

import pytest


@pytest.fixture(scope="session", autouse=True)
def ttnn_is_installed():
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")
