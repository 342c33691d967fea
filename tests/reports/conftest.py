"""A Whisper of 64 columns, compiled once for every test of what is said about it."""

import pytest

from compiler.building import TINY
from ttscribe.compiler.compilation import compile_graph
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.reports.trace import trace
from ttscribe.whisper.model import random_model

SETTINGS = CompileSettings(policy("bf16-hifi3"))


@pytest.fixture(scope="session")
def compiled():
    """All five programs under the default policy."""
    model = random_model(TINY)
    return tuple(compile_graph(capture_program(name, model), SETTINGS) for name in PROGRAMS)


@pytest.fixture(scope="session")
def variations(compiled):
    """The trace of all five programs, each operation alone too."""
    return trace(compiled, SETTINGS)
