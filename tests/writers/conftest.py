"""Segments to write."""

import pytest

from ttscribe.types import Segment, TranscriptionInfo


@pytest.fixture
def info() -> TranscriptionInfo:
    return TranscriptionInfo("base", "cpu", "float32", "transcribe", "en", 1.0, 4000.0)


@pytest.fixture
def segments() -> list[Segment]:
    return [
        Segment(0, 0.0, 2.5, "It was the best of times,", (50364, 467, 50489), -0.21, 0.01),
        Segment(1, 2.5, 61.04, "it was the worst of times.", (50489, 309, 53416), -0.21, 0.01),
        Segment(2, 3661.5, 3662.0, "Çeşme, 東京 & <Bleak House>.", (50364, 50389), -0.4, 0.02),
    ]
