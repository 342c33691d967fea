import pytest

from sizes import DISTIL_LARGE_V3, captured
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import CompileSettings


@pytest.fixture(scope="session")
def programs():
    """distil-large-v3's programs by name: compiled once by the one worker whose tests have them."""
    return {name: compile_graph(graph, CompileSettings()).program for name, graph in captured(DISTIL_LARGE_V3).items()}
