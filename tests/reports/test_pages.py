"""The pages in Markdown and HTML, and the model table, of reports by hand."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from reports.by_hand import every_figure, program_check, report
from ttscribe.compiler.settings import POLICIES
from ttscribe.errors import OutputError
from ttscribe.reports.model_table import BEGIN, END, between_markers, model_table, write_table
from ttscribe.reports.pages import card_command, pages, shown, summary_page, write
from ttscribe.reports.schema import (
    FIGURES,
    Batch,
    Figure,
    KernelTimes,
    Provenance,
    Status,
    Variation,
    from_json,
    to_json,
)

MARKS = {
    Provenance.VALIDATED: "ᵛ",
    Provenance.EMULATED: "ᵉ",
    Provenance.SIMULATED: "ˢ",
    Provenance.PROJECTED: "ᵖ",
    Provenance.MEASURED: "ᵐ",
}
DISTIL = report(model="distil-large-v3")
# What a column shows, and the figure that its mark is of.
COLUMNS = {
    "accuracy": ("wer", "token_agreement", "wer_fp32"),
    "in PyTorch": ("torch_ops_remaining",),
    "device operations, window / token": ("device_operations_window", "device_operations_token"),
}
# Where a projection has a limit and an estimate, and a measurement is one number: the lower of both and the higher.
RANGES = {"TTFT ms": ("ttft_floor", "ttft"), "t/s/u": ("tsu", "tsu_ceiling")}
RELU = Variation(
    "aten.relu.default",
    "float32[1, 64]",
    ("encode", "prefill"),
    {"fused": 2, "lowered": 3},
    {"ttnn.linear": 2, "ttnn.relu": 3},
    (),
    0.99912345,
)
SORT = Variation("aten.sort.default", "float32[1, 64]", ("encode",), {"host": 1}, {}, ("no_rule: nobody",))
KERNELS = (
    KernelTimes("encode", "attention", 3, 2_000_000_000, 4_000_000, 0.0001, 0.0002, 0.0004, "somebody"),
    KernelTimes("encode", "between operations", 3, 0, 0, 0.0, 0.00001, 0.00002, "somebody else"),
)
FULL = report(
    variations=(RELU, SORT),
    kernels=KERNELS,
    batches=(Batch(8, 128, 0.002, 0.004, 0.0025, 0.0043), Batch(32, 128, 0.004, 0.008, 0.002, 0.003)),
)


def rows(text):
    """Rows of every table, as lists of cells."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def table_rows(*reports):
    """The model table's rows by model, as columns by head."""
    head, *found = rows(model_table(reports))
    return {row[0].partition("]")[0].strip("["): dict(zip(head, row, strict=True)) for row in found}


def without(*names):
    return {name: figure for name, figure in every_figure().items() if name not in names}


def test_what_several_windows_bring_is_a_table_of_its_own():
    page = summary_page(FULL)
    assert "## Several windows at a time (projected)" in page
    assert ["8", "128", "2.00 to 4.00", "2,000 to 4,000", "0.0025 to 0.0043"] in rows(page)
    assert ["32", "128", "4.00 to 8.00", "4,000 to 8,000", "0.0020 to 0.0030"] in rows(page)
    assert "Several windows" not in summary_page(report())


def test_every_figure_is_shown_with_its_word_and_where_it_is_from():
    found = {row[0]: row for row in rows(summary_page(report())) if len(row) == 4}
    for name, figure in every_figure().items():
        assert found[FIGURES[name][1]] == [FIGURES[name][1], shown(figure), figure.provenance.value, figure.source]


def test_an_absent_figure_is_not_shown():
    page = summary_page(report(figures=without("tsu")))
    assert FIGURES["tsu"][1] not in page
    assert FIGURES["ts"][1] in page


def test_a_report_without_figures_has_none():
    assert [row for row in rows(summary_page(report(figures={}))) if len(row) == 4] == [
        ["figure", "value", "provenance", "taken on, made from"]
    ]


def test_what_is_wanting_is_on_the_first_lines():
    page = summary_page(report(status=Status.IN_WORK, reasons=("2 operations in PyTorch", "accuracy not judged")))
    title, _, first, *_ = page.splitlines()
    assert title == "# some-model: report"
    assert first.startswith("🚧 on n150, `bf16-hifi3`, batch 1; weights: some-model, its own.")
    assert first.endswith(" Not done: 2 operations in PyTorch; accuracy not judged.")


def test_a_done_model_has_no_reasons():
    assert "Not done" not in summary_page(report())


def test_only_what_is_known_has_a_page():
    assert set(pages(FULL)) == {"report.json", "report.md", "input_variations.md", "performance.md", "report.html"}
    assert set(pages(report())) == {"report.json", "report.md", "report.html"}


def test_a_program_without_a_peak_has_empty_cells():
    page = summary_page(
        report(programs=(program_check(host_segments=2, dram_added=2**20, peak_l1=None, peak_l1_call=None),))
    )
    assert ["`encode`", "7", "5", "2", "1.0", "", ""] in rows(page)


def test_what_stays_is_refused_or_ran_otherwise_is_listed_by_its_section():
    page = summary_page(report(fallbacks=("a falls back",), findings=("b refused",), ledger_differences=("c ran",)))
    sections = dict(part.split("\n\n", 1) for part in page.split("\n## ")[1:])
    assert sections["What stays in PyTorch"].strip() == "- a falls back"
    assert sections["What the mock board refuses"].strip() == "- b refused"
    assert sections["What ran and what was compiled"].strip() == "- c ran"


@pytest.mark.parametrize(
    ("differences", "says"), [(None, "Nothing ran: there are no weights of this model here."), ((), "No difference.")]
)
def test_what_did_not_run_is_not_without_difference(differences, says):
    sections = summary_page(report(ledger_differences=differences)).split("\n## ")
    assert [part.split("\n\n")[1].strip() for part in sections if part.startswith("What ran")] == [says]


def test_an_accepted_model_has_no_section_of_what_is_refused():
    page = summary_page(report())
    assert "refuses" not in page
    assert "## What stays in PyTorch\n\nNothing." in page


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(3_221_225_472, "B", Provenance.VALIDATED, ""), "3,221,225,472 B"),
        (Figure(65_536, "B/core", Provenance.VALIDATED, ""), "65,536 B/core"),
        (Figure(1234, "", Provenance.VALIDATED, ""), "1,234"),
        (Figure(99.50421, "%", Provenance.EMULATED, ""), "99.504 %"),
        (Figure(0.99978, "", Provenance.EMULATED, ""), "0.99978"),
        (Figure(163.2, "ms", Provenance.PROJECTED, ""), "163.2 ms"),
    ],
)
def test_a_figure_reads_with_its_unit(figure, text):
    assert shown(figure) == text


def test_the_command_for_a_card_measures_this_model_in_this_precision():
    command = card_command(report(board="p150", precision="bfp8-hifi3")).split()
    assert command[:3] == ["ttscribe", "report", "some-model"]
    assert command[command.index("--device") + 1] == "ttnn:p150"
    assert command[command.index("--precision") + 1] == "bfp8-hifi3"
    assert card_command(report(board="p150")) in summary_page(report(board="p150"))


def test_what_is_not_whisper_has_no_command_for_a_card():
    figures = without("ttft", "ttft_floor", "tsu", "tsu_ceiling", "ts", "device_operations_token")
    assert "ttscribe report" not in summary_page(report(model="gpt2", figures=figures))


@pytest.mark.parametrize("option", ["--speech", "--board", "--output", "--table"])
def test_the_command_for_a_card_has_what_the_command_asks_for(option):
    assert option in card_command(report(board="p150")).split()


@pytest.fixture(scope="module")
def trace():
    return pages(FULL)["input_variations.md"]


def test_the_trace_counts_variations_and_nodes_of_each_operation(trace):
    assert ["`aten.relu.default`", "1", "5", "3", "2", "", "", "", "", "0.99912"] in rows(trace)
    assert ["`aten.sort.default`", "1", "1", "", "", "", "", "1", "", ""] in rows(trace)


def test_the_trace_has_each_variation_with_what_became_of_it(trace):
    calls = "`ttnn.linear` 2, `ttnn.relu` 3"
    found = rows(trace)
    assert ["`float32[1, 64]`", "encode, prefill", "5", "fused 2, lowered 3", calls, "0.99912", "no", ""] in found
    assert ["`float32[1, 64]`", "encode", "1", "host 1", "", "", "yes", "no_rule: nobody"] in found


def test_the_trace_says_what_its_correlations_are(trace):
    assert "**emulated** under `bf16-hifi3`" in trace


def test_a_text_with_a_bar_stays_in_its_cell():
    page = summary_page(report(programs=(program_check(program="a|b"),)))
    assert "| `a\\|b` |" in page


def test_the_page_of_performance_has_each_kind_of_call_and_each_program_with_its_sum():
    found = rows(pages(FULL)["performance.md"])
    assert ["attention", "3", "2.00", "4.00", "100", "200", "400", "somebody"] in found
    assert ["between operations", "3", "0.00", "0.00", "0", "10", "20", "somebody else"] in found
    assert ["all", "3", "2.00", "4.00", "100", "210", "420", ""] in found


def test_the_page_of_performance_says_where_another_chips_rates_are_from():
    assert "on a p150 by tt-metal pull requests" not in pages(FULL)["performance.md"]
    assert "on a p150 by tt-metal pull requests" in pages(replace(FULL, board="p150"))["performance.md"]


def test_every_page_is_written_and_named(tmp_path):
    written = write(FULL, tmp_path / "a" / "folder")
    assert {path.name: path.read_text(encoding="utf-8") for path in written} == pages(FULL)


def test_pages_are_made_of_what_is_kept():
    assert pages(from_json(to_json(FULL))) == pages(FULL)


class Reader(HTMLParser):
    """A document's tags, the cells of its tables by row, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.text, self._cell = [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data):
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data


def plain(row):
    """A Markdown row as HTML shows it."""
    return [re.sub(r"[`*]", "", cell) for cell in row]


def test_the_html_has_every_row_of_every_page():
    found = pages(FULL)
    markdown = [plain(row) for name, text in found.items() if name.endswith(".md") for row in rows(text)]
    assert Reader(found["report.html"]).rows == markdown


def test_the_html_needs_nothing_from_anywhere():
    text = pages(FULL)["report.html"]
    assert not re.search(r"\w+://[^\"'\s)]*", text)
    assert not {"script", "link", "iframe", "img"} & set(Reader(text).tags)
    assert not re.search(r"\bsrc\s*=|\bhref\s*=|@import|url\(|@font-face", text)


def test_text_of_others_is_escaped_in_html():
    strange = replace(FULL, model="<script>alert(1)</script>", fallbacks=("a & b <i>",), findings=("<b>no</b>",))
    text = pages(strange)["report.html"]
    assert not {"script", "i", "b"} & set(Reader(text).tags)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "a &amp; b &lt;i&gt;" in text


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if found is None:
        pytest.skip("neither chromium-headless-shell nor chromium is on PATH")

    def run(*arguments):
        command = [found, "--headless", "--no-sandbox", "--disable-gpu", *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8", timeout=60).stdout

    return run


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(pages(FULL)["report.html"], encoding="utf-8")
    return path


def test_a_browser_reads_every_row(browser, document):
    """What the browser makes of it, which drops what does not belong in a table."""
    assert Reader(browser("--dump-dom", document.as_uri())).rows == Reader(document.read_text(encoding="utf-8")).rows


def test_a_browser_paints_it(browser, document, tmp_path):
    """A picture of it says far more than one of an empty page, both compressed."""
    empty = tmp_path / "empty.html"
    empty.write_text("<!doctype html><title>empty</title>")
    sizes = []
    for each in (empty, document):
        picture = tmp_path / f"{each.stem}.png"
        browser(f"--screenshot={picture}", "--window-size=1000,1200", each.as_uri())
        assert picture.read_bytes().startswith(b"\x89PNG")
        sizes.append(picture.stat().st_size)
    assert sizes[1] > 5 * sizes[0]


@pytest.mark.parametrize("provenance", Provenance)
@pytest.mark.parametrize("column", COLUMNS)
def test_every_figure_of_the_table_has_the_mark_of_where_it_is_from(column, provenance):
    figures = every_figure()
    figures[COLUMNS[column][0]] = replace(figures[COLUMNS[column][0]], provenance=provenance)
    assert table_rows(report(model="tiny.en", figures=figures))["tiny.en"][column].endswith(MARKS[provenance])


@pytest.mark.parametrize("column", COLUMNS)
def test_absent_figures_leave_their_cell_empty_and_no_other(column):
    row = table_rows(report(model="tiny.en", figures=without(*COLUMNS[column])))["tiny.en"]
    assert row[column] == ""
    assert all(row[other] for other in COLUMNS if other != column)


@pytest.mark.parametrize("column", RANGES)
def test_a_projected_time_is_a_range_from_the_boards_limit_to_the_estimate(column):
    figures = every_figure()
    for name, value in zip(RANGES[column], (120.4, 250.6), strict=True):
        figures[name] = replace(figures[name], value=value)
    assert table_rows(report(model="tiny.en", figures=figures))["tiny.en"][column] == "120–251ᵖ"


@pytest.mark.parametrize(("column", "name"), [("TTFT ms", "ttft"), ("t/s/u", "tsu")])
def test_a_measured_time_is_one_number_beside_which_no_projection_stands(column, name):
    figures = every_figure()
    figures[name] = replace(figures[name], value=163.4, provenance=Provenance.MEASURED)
    assert table_rows(report(model="tiny.en", figures=figures))["tiny.en"][column] == "163ᵐ"


@pytest.mark.parametrize("column", RANGES)
def test_a_time_that_is_neither_projected_nor_measured_leaves_its_cell_empty(column):
    assert table_rows(report(model="tiny.en", figures=without(*RANGES[column])))["tiny.en"][column] == ""


def test_the_table_has_at_most_eight_columns():
    assert len(rows(model_table([DISTIL]))[0]) == 8


def test_the_table_explains_its_marks():
    _, notes = model_table([DISTIL]).split("\n\n", 1)
    for mark, word in zip(MARKS.values(), MARKS, strict=True):
        assert f"{mark} {word.value}" in notes


def test_what_tt_metal_reaches_stands_beside_the_model_and_the_board_that_it_was_published_for():
    row = table_rows(DISTIL)["distil-large-v3"]
    assert row["TTFT ms"].endswith("; tt-metal's 163")
    assert row["t/s/u"].endswith("; tt-metal's 105")
    for other in (replace(DISTIL, board="p150"), report(model="tiny.en")):
        assert "tt-metal's 1" not in model_table([other])


def test_the_table_stands_between_its_markers_and_nothing_else_changes():
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert between_markers(text, "new", "README.md") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", "text", BEGIN, END, f"{END}\n{BEGIN}\n"])
def test_missing_markers_are_one_clear_error(text):
    with pytest.raises(OutputError, match=r"^README\.md has no <!-- model-table:begin --> \.\.\. <!-- .*$"):
        between_markers(text, "new", "README.md")


@pytest.fixture
def folder(tmp_path):
    """Reports of two models, a folder each."""
    for each in (report(model="tiny.en"), DISTIL):
        (tmp_path / each.model).mkdir()
        (tmp_path / each.model / "report.json").write_text(to_json(each), encoding="utf-8")
    return tmp_path


def test_a_file_without_markers_is_left_as_it_was(folder):
    readme = folder / "README.md"
    readme.write_text("text")
    with pytest.raises(OutputError):
        write_table(readme, folder)
    assert readme.read_text() == "text"


def test_a_file_that_cannot_be_read_is_one_clear_error(folder):
    with pytest.raises(OutputError, match=r"README\.md: cannot be read"):
        write_table(folder / "README.md", folder)


def test_a_damaged_report_is_named_and_no_row_is_lost(folder):
    readme = folder / "README.md"
    readme.write_text(f"{BEGIN}\nrows\n{END}\n")
    (folder / "tiny.en" / "report.json").write_text("{")
    with pytest.raises(OutputError, match=r"tiny\.en/report\.json: .*make that report again"):
        write_table(readme, folder)
    assert "rows" in readme.read_text()


def test_writing_the_table_twice_is_writing_it_once(folder):
    readme = folder / "README.md"
    readme.write_text(f"é\n{BEGIN}\n{END}\n", encoding="utf-8")
    write_table(readme, folder)
    once = readme.read_text(encoding="utf-8")
    write_table(readme, folder)
    assert readme.read_text(encoding="utf-8") == once
    assert model_table([report(model="tiny.en"), DISTIL]) in once


def test_rows_go_from_distil_large_v3_over_the_sizes_of_whisper():
    reports = [report(model=name) for name in ("large-v3", "tiny.en", "distil-large-v3", "base")]
    assert list(table_rows(*reports)) == ["distil-large-v3", "tiny.en", "base", "large-v3"]


def test_settings_of_single_operations_are_told_with_their_reasons():
    overrides = POLICIES["bfp8-mixed"].overrides
    page = summary_page(replace(DISTIL, precision="bfp8-mixed", overrides=tuple(map(str, overrides))))
    assert "## Settings of single operations under `bfp8-mixed`" in page
    assert "- encode.*: HiFi2 (the encoder's products and attention wait for the matrix engine)" in page
    assert "Settings of single operations" not in summary_page(DISTIL)
