"""Generated files that are committed are what would be generated now; ``make reports`` makes them again."""

from dataclasses import replace
from pathlib import Path

import pytest

from ttscribe.compiler.compilation import Settings
from ttscribe.compiler.passes import DEFAULT_POLICY, policy
from ttscribe.reports.model import from_json, same_but_for_time
from ttscribe.reports.model_table import BEGIN, END, model_table
from ttscribe.reports.pages import summary_page
from ttscribe.reports.run import Request, make, pages
from ttscribe.whisper.config import SIZES
from ttscribe.whisper.model import shape_only_model

ROOT = Path(__file__).resolve().parents[2]
REPORTS = sorted((ROOT / "docs" / "models").glob("*/report.json"))
STALE = "stale: make reports"


def committed(path: Path):
    return from_json(path.read_text(encoding="utf-8"))


def test_there_are_reports_of_whisper_and_of_other_models():
    names = {path.parent.name for path in REPORTS}
    assert {"distil-large-v3", "tiny.en", "base", "large-v3-turbo", "large-v3", "gpt-neo", "opt", "codegen"} <= names


def test_the_model_table_of_the_readme_is_that_of_the_reports():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    linked = [line.partition("](")[0].removeprefix("| [") for line in table.splitlines() if line.startswith("| [")]
    assert sorted(linked) == sorted(path.parent.name for path in REPORTS)
    reports = {path.parent.name: committed(path) for path in REPORTS}
    assert table == model_table([reports[name] for name in linked]), STALE


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.parent.name)
def test_the_page_of_a_report_is_that_of_its_figures(path):
    assert path.with_name("report.md").read_text(encoding="utf-8") == summary_page(committed(path)), STALE


@pytest.mark.parametrize("name", ["gpt-neo", "opt", "codegen", "gpt2"])
def test_the_report_and_pages_of_another_model_are_those_of_this_code(bench, name):
    folder = ROOT / "docs" / "models" / name
    found = bench("reports").made(name)
    assert same_but_for_time(found.report, committed(folder / "report.json")) == [], STALE
    now = pages(replace(found, report=committed(folder / "report.json")))
    assert now["input_variations.md"] == (folder / "input_variations.md").read_text(encoding="utf-8"), STALE


@pytest.fixture(scope="module")
def made():
    """distil-large-v3's report as this code makes it."""
    size = "distil-large-v3"
    return make(Request(size, shape_only_model(SIZES[size]), Settings(policy(DEFAULT_POLICY)), "n150"))


@pytest.mark.xdist_group("projected distil-large-v3")
def test_the_figures_of_the_bring_up_are_those_of_this_code(made):
    path = ROOT / "docs" / "models" / "distil-large-v3" / "report.json"
    assert same_but_for_time(made.report, committed(path)) == [], STALE


@pytest.mark.xdist_group("projected distil-large-v3")
def test_the_pages_of_the_bring_up_are_those_of_this_code(made):
    folder = ROOT / "docs" / "models" / "distil-large-v3"
    now = pages(replace(made, report=committed(folder / "report.json")))
    different = [name for name, text in now.items() if (folder / name).read_text(encoding="utf-8") != text]
    assert different == [], STALE
