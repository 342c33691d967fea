"""Generated files that are committed are what would be generated now; ``make reports`` makes them again."""

from pathlib import Path

import pytest
from msgspec.structs import replace

import model_reports
from cost_model import page
from reports.by_hand import same_but_for_time
from sizes import DISTIL_LARGE_V3
from ttscribe.reports.model_table import BEGIN, END, model_table
from ttscribe.reports.pages import pages, summary_page
from ttscribe.reports.schema import from_json

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "docs" / "models"
REPORTS = sorted(MODELS.glob("*/report.json"))
STALE = "stale: make reports"


def committed(path: Path):
    return from_json(path.read_text(encoding="utf-8"))


def test_there_is_a_report_of_every_size():
    assert {path.parent.name for path in REPORTS} == set(model_reports.WHISPER)


def test_the_model_table_of_the_readme_is_that_of_the_reports():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert table == model_table([committed(path) for path in REPORTS]), STALE


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.parent.name)
def test_the_page_of_a_report_is_that_of_its_figures(path):
    assert path.with_name("report.md").read_text(encoding="utf-8") == summary_page(committed(path)), STALE


def test_only_distil_large_v3_has_more_than_its_figures_and_one_page():
    found = {folder.name: {path.name for path in folder.iterdir()} for folder in MODELS.iterdir() if folder.is_dir()}
    full = found.pop("distil-large-v3")
    assert {name for names in found.values() for name in names} == {"report.json", "report.md"} < full


def test_the_page_of_other_models_is_that_of_this_code():
    """By the first and the last of them, whose attention is captured in different ways; all four take long."""
    names = list(model_reports.OTHERS)
    now = list(model_reports.others_page([model_reports.other_report(name) for name in (names[0], names[-1])]))
    page = (MODELS / model_reports.OTHER_MODELS).read_text(encoding="utf-8").splitlines()
    assert [name for name in names if f"## {name}: what stays in PyTorch" not in page] == [], STALE
    assert [line for line in "\n".join(now).splitlines() if line not in page] == [], STALE


@pytest.mark.xdist_group(DISTIL_LARGE_V3)
def test_the_figures_of_the_bring_up_are_those_of_this_code(bring_up):
    assert same_but_for_time(bring_up[0], committed(MODELS / "distil-large-v3" / "report.json")) == [], STALE


@pytest.mark.xdist_group(DISTIL_LARGE_V3)
def test_the_pages_of_the_bring_up_are_those_of_this_code(bring_up):
    """But for seconds of a machine, which are as committed."""
    report, files, _ = bring_up
    folder = MODELS / "distil-large-v3"
    kept = committed(folder / "report.json")
    now = {**files, **pages(kept), page.PAGE: files[page.PAGE]}
    different = [name for name, text in now.items() if (folder / name).read_text(encoding="utf-8") != text]
    assert different == [], STALE
    assert replace(kept, figures={}, programs=(), versions={}) == replace(report, figures={}, programs=(), versions={})
