"""Folders, patterns and manifests name the recordings that they should, once each."""

import json
from pathlib import Path

import pytest

from ttscribe.batch.inputs import recordings
from ttscribe.errors import OptionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("b.wav", "a.FLAC", "in/c.mp3", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_folders_and_patterns_give_each_recording_once(folder: Path) -> None:
    found = recordings([str(folder / "*.wav"), str(folder)])
    assert found == [str(folder / name) for name in ("b.wav", "a.FLAC", "in/c.mp3")]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_manifests_of_each_kind_mean_the_same(folder: Path, kind: str) -> None:
    names = ["b.wav", "in/c.mp3"]
    manifest = folder / f"list.{kind}"
    if kind == "csv":
        manifest.write_text("speaker,path\n" + "".join(f"x,{name}\n" for name in names))
    else:
        manifest.write_text("".join(json.dumps({"path": name}) + "\n" for name in names))
    assert recordings([str(manifest)]) == [str(folder / name) for name in names]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("l.csv", "file\nb.wav\n", "row 1 has no 'path'"),
        ("l.jsonl", '{"path": "b.wav"}\n{"path": 3}\n', "row 2 has no 'path'"),
        ("l.jsonl", "{", "not a manifest that can be read"),
        ("l.csv", "path\n", "has no rows"),
    ],
)
def test_a_bad_manifest_is_one_clear_line(folder: Path, name: str, content: str, complaint: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(OptionError, match=complaint) as caught:
        recordings([str(folder / name)])
    assert "\n" not in str(caught.value)


def test_nothing_found_is_said(tmp_path: Path) -> None:
    for one in (str(tmp_path), str(tmp_path / "*.wav")):
        with pytest.raises(OptionError, match="no recordings there"):
            recordings([one])
