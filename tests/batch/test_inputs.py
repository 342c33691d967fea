"""Folders, patterns and manifests name the recordings that they should, once each."""

import json
import sys
from pathlib import Path
from zipfile import ZipFile

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


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_manifests_of_each_kind_mean_the_same(folder: Path, kind: str) -> None:
    names = ["b.wav", "in/c.mp3", "s3://bucket/d.wav"]
    manifest = folder / f"list.{kind}"
    if kind == "csv":
        manifest.write_text("speaker,path\n" + "".join(f"x,{name}\n" for name in names))
    elif kind == "parquet":
        pytest.importorskip("pyarrow", reason="the extra batch is not installed: make env")
        from pyarrow import parquet, table

        parquet.write_table(table({"speaker": [1, 2, 3], "path": names}), manifest)
    else:
        manifest.write_text("".join(json.dumps({"path": name}) + "\n" for name in names))
    assert recordings([str(manifest)]) == [str(folder / "b.wav"), str(folder / "in/c.mp3"), names[2]]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("l.csv", "file\nb.wav\n", "row 1 has no 'path'"),
        ("l.jsonl", '{"path": "b.wav"}\n{"path": 3}\n', "row 2 has no 'path'"),
        ("l.jsonl", "{", "not a manifest that can be read"),
        ("l.csv", "path\n", "has no rows"),
        ("l.parquet", "path\n", "not a manifest that can be read"),
    ],
)
def test_a_bad_manifest_is_one_clear_line(folder: Path, name: str, content: str, complaint: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(OptionError, match=complaint) as caught:
        recordings([str(folder / name)])
    assert "\n" not in str(caught.value)


def test_parquet_without_its_package_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "list.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(OptionError, match="Parquet needs pyarrow: install ttscribe with its extra 'batch'"):
        recordings([str(folder / "list.parquet")])


def test_an_address_means_what_its_storage_has(folder: Path) -> None:
    """Of a folder, of a pattern, and by itself, in files and in an archive."""
    archive = folder / "all.zip"
    with ZipFile(archive, "w") as made:
        for name in ("x/e.wav", "x/y/f.OGG", "x/notes.txt"):
            made.writestr(name, b"")
    assert recordings([f"file://{folder}"]) == [f"file://{folder}/{name}" for name in ("a.FLAC", "b.wav", "in/c.mp3")]
    assert recordings([f"file://{folder}/*.wav"]) == [f"file://{folder}/b.wav"]
    assert recordings([f"file://{folder}/notes.txt"]) == [f"file://{folder}/notes.txt"]
    inside = [f"zip://{name}::file://{archive}" for name in ("x/e.wav", "x/y/f.OGG")]
    assert recordings([f"zip://::file://{archive}"]) == inside
    assert recordings([f"zip://x/*.wav::file://{archive}"]) == inside[:1]


@pytest.mark.parametrize(
    ("one", "complaint"),
    [
        ("nothing://bucket/*.wav", "nothing://bucket/.*: cannot be looked at .*nothing"),
        ("zip://*.wav::file:///no/such.zip", "cannot be looked at .*such.zip"),
    ],
)
def test_a_storage_that_cannot_be_looked_at_is_one_clear_line(one: str, complaint: str) -> None:
    with pytest.raises(OptionError, match=complaint) as caught:
        recordings([one])
    assert "\n" not in str(caught.value)


def test_nothing_found_is_said(tmp_path: Path) -> None:
    for one in (str(tmp_path), str(tmp_path / "*.wav")):
        with pytest.raises(OptionError, match="no recordings there"):
            recordings([one])
