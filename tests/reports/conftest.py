"""A Whisper of 64 columns, compiled once for every test of what is said about it."""

import importlib.util
from pathlib import Path

import pytest

from compiler.building import TINY
from ttscribe.compiler.compilation import Settings
from ttscribe.compiler.passes import policy
from ttscribe.reports.collect import compile_whisper
from ttscribe.reports.operations import trace
from ttscribe.whisper.model import random_model

SETTINGS = Settings(policy("bf16-hifi4"))


@pytest.fixture(scope="session")
def bench():
    """A script of ``bench``, by its name, as a module."""

    def imported(name):
        path = Path(__file__).resolve().parents[2] / "bench" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"bench_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return imported


@pytest.fixture(scope="session")
def compilation():
    """All five programs under the default policy."""
    return compile_whisper("some-model", random_model(TINY), SETTINGS)


@pytest.fixture(scope="session")
def variations(compilation):
    """The trace of all five programs, each operation alone too."""
    return trace(compilation.graphs, SETTINGS)
