"""The kernels' libraries, whichever this CPU can run."""

import pytest

from ttscribe.devices.cpu import kernels


@pytest.fixture
def library(request, monkeypatch):
    """The library of that name in place of the fastest."""
    if not kernels.instructions().issuperset(kernels.NEEDS[request.param]):
        pytest.skip(f"this CPU cannot run the library {request.param}")
    loaded = kernels.loaded(kernels.LIBRARIES[request.param])
    monkeypatch.setattr(kernels, "library", lambda: loaded)
    return request.param
