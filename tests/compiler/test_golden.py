"""The programs of a small Whisper as text, as lowered and at the end: TTSCRIBE_ACCEPT=1 writes them anew."""

import os
from pathlib import Path

import pytest

from ttscribe.compiler.text import to_text
from ttscribe.compiler.whisper_programs import PROGRAMS

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("stage", ["lowered", "final"])
def test_program_reads_as_it_did(name, stage, compiled):
    path = GOLDEN / f"{name}_{stage}.txt"
    text = to_text(compiled[name]["lowered"] if stage == "lowered" else list(compiled[name].values())[-1])
    if os.environ.get("TTSCRIBE_ACCEPT"):
        path.write_text(text)
    assert text == path.read_text()


def test_every_golden_text_is_of_a_program():
    stems = {f"{name}_{stage}" for name in PROGRAMS for stage in ("lowered", "final")}
    assert {path.stem for path in GOLDEN.iterdir()} == stems
