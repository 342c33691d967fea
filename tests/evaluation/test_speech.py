"""Folders of recordings with their texts."""

import wave

import pytest

from ttscribe.errors import AudioNotFound, OptionError
from ttscribe.evaluation.speech import Clip, read_speech


@pytest.fixture
def record(tmp_path):
    """A recording of so many seconds under a path of the folder."""

    def made(name, seconds=1.0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", None))
            file.writeframes(bytes(int(2 * 16_000 * seconds)))
        return path

    return made


def test_a_manifest_lists_files_and_texts_whatever_other_columns_it_has(tmp_path, record):
    first, second = record("audio/one.wav", 2), record("two.wav", 1.5)
    (tmp_path / "manifest.tsv").write_text('file\tlang\ttext\naudio/one.wav\ten\tso "it was\ntwo.wav\ten\t\n')
    assert read_speech(tmp_path) == (Clip(first, 'so "it was', 2.0), Clip(second, "", 1.5))


def test_librispeech_is_read_at_any_depth(tmp_path, record):
    names = ("1272/128104/1272-128104-0000", "1272/128104/1272-128104-0001", "1272/135031/1272-135031-0000")
    paths = [record(f"{name}.flac") for name in names]
    (tmp_path / "1272/128104/1272-128104.trans.txt").write_text("1272-128104-0000 ONE\n1272-128104-0001 TWO WORDS\n")
    (tmp_path / "1272/135031/1272-135031.trans.txt").write_text("1272-135031-0000 THREE\n")
    assert [(clip.path, clip.text) for clip in read_speech(tmp_path)] == list(
        zip(paths, ("ONE", "TWO WORDS", "THREE"), strict=True)
    )


@pytest.mark.parametrize("manifest", [None, "file\ttext\n", "file\ttext\none.wav\t \n"])
def test_a_folder_without_words_is_one_clear_error(tmp_path, record, manifest):
    record("one.wav")
    if manifest is not None:
        (tmp_path / "manifest.tsv").write_text(manifest)
    with pytest.raises(OptionError, match=r"no speech; it needs manifest\.tsv \(file, text\) or LibriSpeech's"):
        read_speech(tmp_path)


def test_a_manifest_needs_its_columns(tmp_path):
    (tmp_path / "manifest.tsv").write_text("path,text\n")
    with pytest.raises(OptionError, match=r"manifest\.tsv: no columns file and text"):
        read_speech(tmp_path)


def test_a_recording_that_is_not_there_is_named(tmp_path):
    (tmp_path / "manifest.tsv").write_text("file\ttext\ngone.wav\twords\n")
    with pytest.raises(AudioNotFound, match=r"gone\.wav: no such file"):
        read_speech(tmp_path)


def test_a_recording_of_more_than_a_window_is_refused(tmp_path, record):
    record("long.wav", 31)
    record("short.wav", 30)
    (tmp_path / "manifest.tsv").write_text("file\ttext\nshort.wav\twords\nlong.wav\twords\n")
    with pytest.raises(OptionError, match=r"long\.wav: 31 s, and models are judged by recordings of at most 30 s"):
        read_speech(tmp_path)
