"""Recordings that every clone has, what a transcriber hears in them, and what it should."""

import numpy as np
import pytest

from golden.clips import Absent, clips
from golden.tokens import golden
from ttscribe.audio import SAMPLE_RATE


def audio(name):
    """A clip as ``transcribe`` takes it."""
    try:
        found = clips()[name].audio()
    except Absent as error:
        pytest.skip(str(error))
    return {"audio": found} if not isinstance(found, np.ndarray) else {"audio": found, "sample_rate": SAMPLE_RATE}


def transcribed(transcriber, name, **options):
    segments, info = transcriber.transcribe(**audio(name), **options)
    return list(segments), info


def text(segments):
    return " ".join(segment.text for segment in segments)


def expected(model, name, task="transcribe"):
    (found,) = [each for each in golden(model) if (each.clip, each.task) == (name, task)]
    return found


def words(transcriber, segments):
    """Token ids without times."""
    eot = transcriber.checkpoint.tokenizer.eot
    return tuple(token for segment in segments for token in segment.tokens if token < eot)
