"""A folder of recordings, and what a batch of them should write."""

import subprocess

import pytest

from cli.conftest import COMMAND
from sounds import write_wav
from ttscribe import load_model
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.batch import Index

LOAD = {"name_or_path": "tiny.en", "precision": "float32", "threads": 1, "offline": True}
PIECES, SECONDS = 4, 6


def batch(*arguments):
    command = [*COMMAND, "batch", *map(str, arguments), "--model", "tiny.en", "--precision", "float32", "--offline"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def index(output):
    return Index(output).entries()


@pytest.fixture(scope="module")
def folder(two_cities, tmp_path_factory):
    """Pieces of read English, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("recordings")
    samples = load_audio(two_cities)
    for at in range(PIECES):
        path = folder / ("inner" if at == 0 else "") / f"{at}.wav"
        path.parent.mkdir(exist_ok=True)
        write_wav(path, samples[at * SECONDS * SAMPLE_RATE : (at + 1) * SECONDS * SAMPLE_RATE])
    return folder


@pytest.fixture(scope="module")
def texts(folder):
    """What the same model writes without a batch, by recording."""
    transcriber = load_model(**LOAD)

    def text(path):
        segments, _ = transcriber.transcribe(path)
        return " ".join(segment.text for segment in segments)

    return {str(path): text(path) for path in sorted(folder.rglob("*.wav"))}
