"""A Whisper of 64 columns, its programs as captured and after every pass."""

import pytest

from compiler.building import SUPPRESSED, TINY
from ttscribe.compiler.lowering import lower
from ttscribe.compiler.passes import stages
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.whisper.model import random_model


@pytest.fixture(scope="session")
def model():
    return random_model(TINY)


@pytest.fixture(scope="session")
def captured(model):
    """Captured programs by name."""
    return {name: capture_program(name, model, suppress=SUPPRESSED) for name in PROGRAMS}


@pytest.fixture(scope="session")
def compiled(captured):
    """For each program, what it is as lowered and after each pass."""
    return {name: dict(stages(lower(graph), CompileSettings(policy("exact")))) for name, graph in captured.items()}
