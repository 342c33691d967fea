"""Command lines that are written for OpenAI's ``whisper`` and for whisper-ctranslate2."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import typer

from ttscribe.cli._other_names import INSTEAD, as_ours
from ttscribe.cli.app import app


@pytest.fixture(scope="module")
def parameters():
    return typer.main.get_command(app).commands["transcribe"].params


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("--word_timestamps True a.wav", "--word-timestamps a.wav"),
        ("a.wav --highlight_words False", "a.wav --no-highlight-words"),
        ("--condition_on_previous_text=True a.wav", "--condition-on-previous-text a.wav"),
        ("--vad_filter True True", "--vad-filter True"),
        ("--fp16 False a.wav", "--precision float32 a.wav"),
        ("--local_files_only True --batched=False", "--offline --batch-size 1"),
        ("--carry_initial_prompt False --beam_size 5", "--no-carry-initial-prompt --beam_size 5"),
        ("--quiet a.wav -- --fp16 True", "--quiet a.wav -- --fp16 True"),
    ],
)
def test_flags_with_values_and_other_names_are_understood(parameters, theirs, ours):
    assert as_ours(theirs.split(), parameters) == ours.split()


@pytest.mark.parametrize("name", INSTEAD)
def test_what_cannot_be_honoured_is_refused_with_what_to_use(ttscribe, name):
    result = ttscribe("transcribe", f"--{name.removeprefix('--').replace('-', '_')}", "x", "a.wav")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.endswith(f" is not an option of ttscribe: {INSTEAD[name]}\n")


def test_every_option_of_whisper_is_known(parameters):
    """Of the version that is installed, read from its source: to import it takes seconds."""
    package = importlib.util.find_spec("whisper")
    if package is None:
        pytest.skip("openai-whisper is not installed: make env")
    source = Path(package.origin).with_name("transcribe.py").read_text(encoding="utf-8")
    theirs = {
        name for line in re.findall(r"add_argument\((.+)", source) for name in re.findall(r'"(--?[a-z]\w*)"', line)
    }
    ours = {name for parameter in parameters for name in parameter.opts}
    assert len(theirs) > 25
    assert {name.replace("_", "-") for name in theirs} <= ours | {*INSTEAD}


def test_a_command_line_of_whisper_does_what_it_says(ttscribe, tiny, beckett, tmp_path):
    options = "--language en --fp16 False --beam_size 1 --word_timestamps True --output_format json"
    arguments = [*tiny, "--quiet", beckett, *options.split(), "-o", tmp_path]
    assert ttscribe(*arguments).exit_code == 0
    document = json.loads((tmp_path / "beckett.json").read_text(encoding="utf-8"))
    assert (document["precision"], document["segments"][0]["words"][0]["text"].strip()) == ("float32", "Ever")
