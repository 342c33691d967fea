"""The configuration file of ``ttscribe transcribe``."""

import json
import os
import re
from pathlib import Path

import pytest
import typer

from ttscribe.cli._config import defaults
from ttscribe.cli.app import app

BECKETT = "Ever tried, ever failed.\nNo matter, try again.\nFail again.\nFail better.\n"


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Write the file that is in use."""
    path = tmp_path / "ttscribe.toml"
    monkeypatch.setenv("TTSCRIBE_CONFIG", str(path))
    return lambda text: (path.write_text(text, encoding="utf-8"), path)[1]


@pytest.mark.usefixtures("tiny")
def test_options_are_taken_from_it_and_the_command_line_wins(ttscribe, beckett, configured, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    text = '[transcribe]\nmodel = "tiny.en"\noutput_dir = "~/out"\nformat = "srt"\nquiet = true\nword-timestamps = true'
    configured(f"{text}\ncompression-ratio-threshold = 'none'\nvad_threshold = 0.25\nthreads = 1\nvad = false\n")
    result = ttscribe("transcribe", "--format", "json", beckett)
    assert (result.exit_code, result.output) == (0, "")
    document = json.loads((tmp_path / "out" / "beckett.json").read_text(encoding="utf-8"))
    assert document["model"] == "tiny.en"
    assert document["segments"][0]["words"][0]["text"].strip() == "Ever"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[transcribe]\nmodle = 'base'", "FILE: [transcribe] has 'modle', which is no option; perhaps model"),
        ("[transcribe]\nxyzzy = 1", "FILE: [transcribe] has 'xyzzy', which is no option; 'ttscribe transcribe --help'"),
        ("[transcribe]\nfiles = ['a.wav']", "FILE: [transcribe] has 'files', which is no option"),
        ("[transcribe]\nconfig = 'other.toml'", "FILE: [transcribe] has 'config', which is no option"),
        ("[transcribe]\nthreads = '4'", "FILE: threads = '4': it must be a whole number"),
        ("[transcribe]\nthreads = 0", "FILE: threads = 0: "),
        ("[transcribe]\nquiet = 1", "FILE: quiet = 1: it must be true or false"),
        ("[transcribe]\nmodel = 3", "FILE: model = 3: it must be text in quotes"),
        ("[transcribe]\npatience = 'x'", "FILE: patience = 'x': it must be a number"),
        ("[transcribe]\nformat = 'docx'", "FILE: format = 'docx': "),
        ("[transcribe]\nvad = true\nvad-filter = true", "FILE: [transcribe] has 'vad-filter', which is --vad, twice"),
        ("[transcribe]\nmodel = base", "FILE is no TOML file: Invalid value (at line 2, column 9)"),
        ("model = 'base'", "FILE has 'model': options stand in a table [transcribe], and there is no other"),
        ("[serve]", "FILE has 'serve': options stand in a table [transcribe], and there is no other"),
    ],
    ids=lambda value: value.partition("\n")[2],
)
def test_what_the_command_would_not_take_is_refused_in_one_line(ttscribe, configured, text, problem):
    path = configured(text)
    result = ttscribe("transcribe", "talk.wav")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"ttscribe: error: {problem.replace('FILE', str(path))}")


def test_a_file_that_is_named_must_be_there_and_comes_before_the_variable(ttscribe, configured, tmp_path):
    configured("[nonsense]")
    result = ttscribe("transcribe", "--config", tmp_path / "absent.toml", "talk.wav")
    absent = f"cannot read the configuration file {tmp_path / 'absent.toml'}: No such file or directory"
    assert (result.exit_code, result.stderr) == (1, f"ttscribe: error: {absent}\n")
    result = ttscribe("transcribe", "--config", os.devnull, "--model", "no-such-model", "talk.wav")
    assert result.stderr.startswith("ttscribe: error: no-such-model is no file")


def test_the_users_own_is_in_their_configuration_folder(ttscribe, tmp_path, monkeypatch):
    monkeypatch.delenv("TTSCRIBE_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    # Caches of gigabytes are counted file by file.
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "ttscribe" / "ttscribe.toml"
    path.parent.mkdir()
    path.write_text("[transcribe]\nmodel = 'no-such-model'\n")
    assert f"{path}  in use, 1 option of ttscribe transcribe" in ttscribe("doctor").stdout
    assert ttscribe("transcribe", "talk.wav").stderr.startswith("ttscribe: error: no-such-model is no file")
    path.write_text("[transcribe]\nmodel = 3\n")
    assert f"{path}  cannot be used: {path}: model = 3: it must be text in quotes" in ttscribe("doctor").stdout


def test_the_page_about_it_has_a_file_that_is_taken(configured):
    page = (Path(__file__).parents[2] / "docs" / "transcribing.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    command = typer.main.get_command(app).commands["transcribe"]
    context = command.make_context("transcribe", [], resilient_parsing=True)
    found = defaults(configured(text), context)
    assert found["output_dir"] == str(Path.home() / "transcripts")
    assert len(found) == text.count(" = ")
