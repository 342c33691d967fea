"""Real recordings that every test may use, and the command."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from places import SPEECH


def package_file(package: str, *parts: str) -> Path:
    """A file inside an installed package, found without importing it; the test is skipped where it is absent."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"package {package} is not installed: make env")
    return Path(spec.origin).parent.joinpath(*parts)


@pytest.fixture
def no_configuration(monkeypatch) -> None:
    """Whoever runs the tests may have a configuration file."""
    monkeypatch.setenv("TTSCRIBE_CONFIG", os.devnull)


@pytest.fixture
def ttscribe(no_configuration) -> Callable[..., Any]:
    """Run ``ttscribe ARGUMENTS`` here; standard output and standard error apart."""
    from typer.testing import CliRunner

    from ttscribe.cli.app import app

    return lambda *arguments, **options: CliRunner().invoke(app, [str(a) for a in arguments], **options)


@pytest.fixture(scope="session")
def speech() -> Path:
    """Folder of reference clips with their manifest and golden tokens."""
    if not (SPEECH / "manifest.tsv").is_file():
        pytest.skip("the reference clips (../shared/speech) are not here")
    return SPEECH


@pytest.fixture(scope="session")
def beckett() -> Path:
    """10 s of read English (LibriVox)."""
    return package_file("moonshine_voice", "assets", "beckett.wav")


@pytest.fixture(scope="session")
def two_cities() -> Path:
    """44 s of read English (LibriVox)."""
    return package_file("moonshine_voice", "assets", "two_cities.wav")


@pytest.fixture(scope="session")
def windows(beckett, two_cities):
    """Log-mel [2, 80, 3000] of the first windows of both."""
    import numpy as np

    from ttscribe.audio import load_audio, log_mel, window

    return np.stack([window(log_mel(load_audio(recording), 80), 0) for recording in (beckett, two_cities)])


@pytest.fixture(scope="session")
def tiny_en():
    """Checkpoint of real tiny.en weights in float32."""
    from ttscribe.whisper.checkpoints import load_checkpoint

    return load_checkpoint("tiny.en", offline=True)


@pytest.fixture(scope="session")
def base():
    """Checkpoint of real base weights in float32."""
    from ttscribe.whisper.checkpoints import load_checkpoint

    return load_checkpoint("base", offline=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups first, the longest before others: what takes seconds then fills the time that they leave a worker."""
    items.sort(key=lambda item: (item.get_closest_marker("xdist_group") is None, item.path.name != "test_golden.py"))
