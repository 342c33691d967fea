"""``ttscribe models``."""

import subprocess

import pytest

from ttscribe.whisper.checkpoints import hub


def test_every_known_model_has_a_line(ttscribe):
    result = ttscribe("models")
    heading, *lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert heading.split() == ["NAME", "PARAMETERS", "WHERE"]
    assert [line.split()[0] for line in lines][: len(hub.MODELS)] == list(hub.MODELS)


def test_a_model_on_this_machine_has_its_whole_path(ttscribe):
    here = {model.name: model for model in hub.available_models() if model.path}
    if not here:
        pytest.skip("no model is on this machine: make env")
    lines = {line.split()[0]: line for line in ttscribe("models").stdout.splitlines()[1:]}
    assert [name for name, model in here.items() if not lines[name].endswith(f" {model.path}")] == []


def test_a_machine_that_may_not_download_says_so(start, tmp_path):
    environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path), "HOME": str(tmp_path)}
    with start("models", stdout=subprocess.PIPE, env=environment) as process:
        lines = process.stdout.read().decode().splitlines()
    assert next(line for line in lines if line.startswith("large-v2 ")).endswith("not here, and HF_HUB_OFFLINE is set")
