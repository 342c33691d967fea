"""Compilation through ``torch.compile(backend="ttnn")``, with the report of every graph."""

import pytest
import torch


@pytest.fixture
def compiled():
    """Compiles a function or a module in exact precision; ``reports`` has the report of each graph so far."""
    torch._dynamo.reset()

    def to_ttnn(function, *, dynamic=None, **options):
        options = {"precision": "exact", "report": to_ttnn.reports.append, **options}
        return torch.compile(function, backend="ttnn", dynamic=dynamic, options=options)

    to_ttnn.reports = []
    with torch.no_grad():
        yield to_ttnn
    torch._dynamo.reset()
