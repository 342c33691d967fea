import pytest

from cost_model.fit import stand_ins


@pytest.fixture(scope="session")
def programs():
    """distil-large-v3's programs by name: compiled once by the one worker whose tests have them."""
    return stand_ins()
