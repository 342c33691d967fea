"""Published sizes of Whisper, captured once in a process: of distil-large-v3 that takes ten seconds."""

from functools import cache

from ttscribe.compiler.capture.graph import CapturedGraph
from ttscribe.compiler.whisper_programs import PROGRAMS, capture_program
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

DISTIL_LARGE_V3 = "distil-large-v3"
"""Also the xdist_group of every test that has its programs, so that one worker captures them."""


@cache
def captured(size: str) -> dict[str, CapturedGraph]:
    """Its programs by name, at their true shapes and without weights; some tokens are suppressed."""
    model = shape_only_model(SIZES[size])
    return {name: capture_program(name, model, suppress=(1, 2, 50257)) for name in PROGRAMS}
