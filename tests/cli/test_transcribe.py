"""``ttscribe transcribe`` on real recordings with real weights."""

import io
import json
import os
import re
import subprocess
from dataclasses import replace

import av
import pytest
import srt

from terminals import everything_shown
from ttscribe.devices.cpu import automatic
from ttscribe.files import cache_folder
from ttscribe.whisper.config import SIZES

BECKETT = "Ever tried, ever failed.\nNo matter, try again.\nFail again.\nFail better.\n"
SUMMARY = r"10\.0 s of audio in \d+\.\d s \(\d+\.\d x real time\), model tiny\.en, cpu, float32\n"


def test_text_goes_to_standard_output_and_speed_to_standard_error(ttscribe, tiny, beckett):
    result = ttscribe(*tiny, beckett)
    assert (result.exit_code, result.stdout) == (0, BECKETT)
    assert re.fullmatch(SUMMARY, result.stderr)


def test_quiet_says_nothing_but_the_text(ttscribe, tiny, beckett):
    result = ttscribe(*tiny, "--quiet", beckett)
    assert (result.stdout, result.stderr) == (BECKETT, "")


def test_output_that_cannot_be_written_ends_the_run_with_one_line(start, tiny, beckett):
    pipes = {"stdout": os.open("/dev/full", os.O_WRONLY), "stderr": subprocess.PIPE}
    with start(*tiny, "--quiet", beckett, beckett, **pipes) as process:
        os.close(pipes["stdout"])
        problem = process.stderr.read()
    assert problem == b"ttscribe: error: cannot write to standard output: No space left on device\n"
    assert process.returncode == 1


def test_standard_input(ttscribe, tiny, beckett):
    result = ttscribe(*tiny, "--quiet", "-", input=beckett.read_bytes())
    assert (result.exit_code, result.stdout) == (0, BECKETT)


def test_raw_pcm_on_standard_input(ttscribe, tiny, beckett):
    import wave

    with wave.open(str(beckett)) as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    result = ttscribe(*tiny, "--quiet", "--input-format", "s16le", "--sample-rate", rate, "-", input=pcm)
    assert (result.exit_code, result.stdout) == (0, BECKETT)


@pytest.mark.parametrize("options", [["--vad_filter", "--vad-threshold", "0.4"], ["--batch-size", "2"]])
def test_only_speech_is_decoded(options, ttscribe, tiny, beckett):
    result = ttscribe(*tiny, "--quiet", *options, beckett)
    assert (result.exit_code, result.stdout) == (0, BECKETT)


def test_a_batch_without_voice_activity_is_refused(ttscribe, tiny, beckett):
    result = ttscribe(*tiny, "--batch-size", 2, "--no-vad", beckett)
    assert result.exit_code == 1
    assert result.stderr.startswith("ttscribe: error: batch_size above 1 cuts a recording where Silero VAD hears")


def test_what_is_longer_than_allowed_is_refused_in_one_line(ttscribe, tiny, beckett):
    result = ttscribe(*tiny, "--max-duration", 5, beckett)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"ttscribe: error: {beckett}: longer than 5 s, the longest allowed; "
        "cut it, or allow more with max_duration (--max-duration)\n"
    )


def test_files_in_a_folder_that_is_made(ttscribe, tiny, beckett, tmp_path):
    for name in ("srt", "json"):
        result = ttscribe(*tiny, "--format", name, "--output-dir", tmp_path / "new" / "folder", beckett)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.startswith(f"{tmp_path / 'new' / 'folder' / 'beckett'}.{name}: 10.0 s of audio")
    written = {path.suffix: path.read_text(encoding="utf-8") for path in (tmp_path / "new" / "folder").iterdir()}
    lines = BECKETT.splitlines()
    assert [cue.content for cue in srt.parse(written[".srt"])] == lines
    document = json.loads(written[".json"])
    assert [segment["text"] for segment in document["segments"]] == lines
    assert (document["language"], document["model"], document["duration"]) == (
        "en",
        "tiny.en",
        pytest.approx(10.0, abs=0.1),
    )


def test_what_is_done_is_passed_over_and_the_rest_done(ttscribe, tiny, beckett, tmp_path):
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "talk.wav").symlink_to(beckett)
    done, left = tmp_path / "out" / "monday" / "talk.txt", tmp_path / "out" / "tuesday" / "talk.txt"
    done.parent.mkdir(parents=True)
    done.write_text("done before")
    arguments = (*tiny, "--resume", "--output-dir", tmp_path / "out", *sorted(tmp_path.glob("*day/talk.wav")))
    first, again = ttscribe(*arguments), ttscribe(*arguments)
    assert (first.exit_code, done.read_text(), left.read_text()) == (0, "done before", BECKETT)
    assert first.stderr.startswith(f"{tmp_path / 'out'}: passed over 1 of 2, done already\n{left}: 10.0 s of audio")
    assert (again.exit_code, again.stderr) == (0, f"{tmp_path / 'out'}: passed over 2 of 2, done already\n")


@pytest.mark.xdist_group("transcription, base")
@pytest.mark.usefixtures("base")
def test_without_the_default_another_model_is_taken_and_told(ttscribe, beckett, tmp_path, monkeypatch):
    monkeypatch.setenv("TTSCRIBE_CACHE", str(cache_folder()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    result = ttscribe("transcribe", "--offline", "--format", "json", beckett)
    warning, summary = result.stderr.splitlines()
    assert warning == (
        "ttscribe: warning: the default model, distil-large-v3, is not on this machine and downloads are switched off: "
        "base (73 M parameters, multilingual) is used; for the default leave --offline away once"
    )
    assert (result.exit_code, json.loads(result.stdout)["model"]) == (0, "base")
    assert summary.endswith(f"model base, cpu, {automatic().precision}")


def test_words_are_laid_out_and_underlined(ttscribe, tiny, beckett):
    options = ("--format", "srt", "--word-timestamps", "--max-words-per-line", "2", "--highlight-words")
    result = ttscribe(*tiny, "--quiet", *options, beckett)
    cues = [cue.content for cue in srt.parse(result.stdout) if "<u>" in cue.content]
    assert cues[:4] == ["<u>Ever</u> tried,", "Ever <u>tried,</u>", "<u>ever</u> failed.", "ever <u>failed.</u>"]
    assert len(cues) == len(BECKETT.split())


def test_a_bad_file_is_reported_and_the_others_are_done(ttscribe, tiny, beckett, tmp_path):
    (tmp_path / "notes.wav").write_text("not audio")
    result = ttscribe(*tiny, "--quiet", tmp_path / "absent.mp4", tmp_path / "notes.wav", tmp_path, beckett)
    assert (result.exit_code, result.stdout) == (1, BECKETT)
    problems = result.stderr.splitlines()
    assert len(problems) == 3
    for problem, name in zip(problems, ("absent.mp4", "notes.wav", str(tmp_path)), strict=True):
        assert problem.startswith("ttscribe: error: ")
        assert name in problem


def test_a_bad_file_leaves_no_transcript(ttscribe, tiny, tmp_path):
    (tmp_path / "notes.wav").write_text("not audio")
    assert ttscribe(*tiny, "--output-dir", tmp_path, tmp_path / "notes.wav").exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["notes.wav"]


def test_several_texts_are_told_apart_on_standard_error(ttscribe, tiny, beckett):
    result = ttscribe(*tiny, beckett, beckett)
    assert result.stdout == BECKETT * 2
    assert result.stderr.count(f"==> {beckett} <==") == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["talk.mp4", "--resume"], "--resume passes over the files of a folder: it needs --output-dir"),
        (["a.mp4", "b.mp4", "--format", "json"], "several files in json need --output-dir"),
        (["a.mp4", "--output-dir", "file"], "cannot make the folder file: File exists"),
        (["talk.mp4", "--output-dir", "full"], "full/talk.txt is a folder"),
        (["a.mp4", "--word-timestamps"], "txt has no times: --word-timestamps needs --format srt, vtt, lrc"),
        (["a.mp4", "--format", "srt", "--max_line_width", "40"], "--max-line-width needs --word-timestamps"),
        (
            ["a.mp4", "--format", "json", "--word-timestamps", "--highlight-words"],
            "--highlight-words is for subtitles: give --format srt or vtt, not json",
        ),
        (
            ["a.mp4", "--format", "vtt", "--word-timestamps", "--max-line-count", "2"],
            "max_line_count needs max_line_width",
        ),
        (["a.mp4", "--model", "no-such-model"], "no-such-model is no file, no folder and no known model"),
        (["a.mp4", "--model", "large-v3", "--offline"], "large-v3 is not on this machine"),
        (["a.mp4", "--model", "tiny.en", "--device", "tpu"], "no device is called 'tpu'; there is cpu"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_refused_in_one_line(ttscribe, tmp_path, monkeypatch, arguments, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "full" / "talk.txt").mkdir(parents=True)
    result = ttscribe("transcribe", *arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"ttscribe: error: {problem}")


def test_a_language_that_the_model_does_not_know_ends_the_run(ttscribe, tiny, beckett):
    result = ttscribe(*tiny, "--language", "french", beckett, beckett)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("ttscribe: error: tiny.en knows English only, not French") == 1


def test_a_terminal_shows_how_far_it_is(start, tiny, beckett):
    terminal, other_side = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with start(*tiny, beckett, stdout=subprocess.PIPE, stderr=other_side, env=environment) as process:
        os.close(other_side)
        shown = everything_shown(terminal)
        assert process.stdout.read().decode() == BECKETT
    assert "beckett.wav" in shown
    assert "of 10 s" in shown
    assert shown.rstrip().endswith("model tiny.en, cpu, float32")


@pytest.fixture
def half_an_ogg(beckett, tmp_path):
    """The first half of a recording's bytes, in a container that does not declare its length."""
    whole = io.BytesIO()
    with av.open(str(beckett)) as source, av.open(whole, "w", format="ogg") as target:
        stream = target.add_stream("libopus", rate=48000)
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    path = tmp_path / "half.ogg"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    return path


def test_what_the_library_warns_of_is_one_line_unless_quiet(ttscribe, tiny, half_an_ogg):
    warned = ttscribe(*tiny, half_an_ogg)
    assert f"ttscribe: warning: {half_an_ogg}: perhaps cut short: its end mark is missing\n" in warned.stderr
    assert warned.exit_code == 0
    assert ttscribe(*tiny, "--quiet", half_an_ogg).stderr == ""


@pytest.mark.xdist_group("transcription, base")
def test_a_translation_by_large_v3_turbo_is_done_with_one_line_of_warning(ttscribe, base, beckett, monkeypatch):
    turbo = replace(base, name="large-v3-turbo", config=SIZES["large-v3-turbo"])
    monkeypatch.setattr("ttscribe.transcription.load_checkpoint", lambda *_, **__: turbo)
    # Its weights are base's: int8 would take them for what the configuration says.
    arguments = ("transcribe", "--model", "turbo", "--precision", "float32", "--language", "en", beckett, beckett)
    result = ttscribe(*arguments, "--task", "translate")
    assert result.exit_code == 0
    (line,) = (line for line in result.stderr.splitlines() if "warning" in line)
    assert line.startswith("ttscribe: warning: large-v3-turbo was not trained to translate and may leave")
    assert "warning" not in ttscribe(*arguments).stderr
