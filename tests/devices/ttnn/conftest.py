"""TT-NN's host software, and no card."""

import importlib.util

import pytest
import torch

from ttscribe.devices.ttnn.mock import mock_environment


@pytest.fixture(scope="session", autouse=True)
def ttnn_is_installed():
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")


@pytest.fixture(scope="session")
def ttnn(ttnn_is_installed):
    """The library in this process. It looks for a chip, here a mock one, at its first conversion to a block format."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in mock_environment("n150").items():
            patch.setenv(name, value)
        library = importlib.import_module("ttnn")
        library.from_torch(torch.zeros(32, 32), dtype=library.bfloat8_b, layout=library.TILE_LAYOUT)
    return library
