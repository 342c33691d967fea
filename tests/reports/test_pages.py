"""The pages in Markdown, and the model table, of reports by hand."""

from dataclasses import replace

import pytest

from reports.by_hand import every_figure, report
from ttscribe.errors import OutputError
from ttscribe.reports.model import FIGURES, Figure, ProgramSummary, Status, Word, to_json
from ttscribe.reports.model_table import BEGIN, END, between_markers, model_table, write_table
from ttscribe.reports.operations import Variation
from ttscribe.reports.pages import card_command, shown, summary_page, trace_page

MARKS = {Word.VALIDATED: "ᵛ", Word.EMULATED: "ᵉ", Word.PROJECTED: "ᵖ", Word.MEASURED: "ᵐ"}
DISTIL = report(model="distil-large-v3")
# What a column shows, and the figure that its mark is of.
COLUMNS = {
    "compile s": ("compile",),
    "accuracy": ("wer", "token_agreement", "wer_fp32"),
    "ATen operations before / remaining": ("torch_ops_remaining", "torch_ops_before"),
    "moves": ("moves",),
    "device operations, window / token": ("device_operations_token", "device_operations_window"),
    "t/s": ("ts",),
}
# Where a projection has a limit and an estimate, and a measurement is one number: the lower of both and the higher.
RANGES = {"TTFT ms": ("ttft_floor", "ttft"), "t/s/u": ("tsu", "tsu_ceiling")}
RELU = Variation(
    "aten.relu.default",
    "float32[1, 64]",
    ("encode", "prefill"),
    (("fused", 2), ("lowered", 3)),
    (("ttnn.linear", 2), ("ttnn.relu", 3)),
    (),
    0.99912345,
)
SORT = Variation("aten.sort.default", "float32[1, 64]", ("encode",), (("host", 1),), (), ("no_rule: nobody",), None)


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


def test_every_figure_is_shown_with_its_word_and_where_it_is_from():
    found = {row[0]: row for row in rows(summary_page(report())) if len(row) == 4}
    for name, figure in every_figure().items():
        assert found[FIGURES[name]] == [FIGURES[name], shown(figure), figure.word.value, figure.on]


def test_an_absent_figure_is_not_shown():
    page = summary_page(report(figures=without("tsu")))
    assert FIGURES["tsu"] not in page
    assert FIGURES["ts"] in page


def test_a_report_without_figures_has_none():
    assert [row for row in rows(summary_page(report(figures={}))) if len(row) == 4] == [
        ["figure", "value", "word", "taken on, made from"]
    ]


def test_what_is_wanting_is_on_the_first_lines():
    page = summary_page(report(status=Status.IN_WORK, reasons=("2 operations in PyTorch", "accuracy not judged")))
    title, _, first, *_ = page.splitlines()
    assert title == "# some-model: report"
    assert first.startswith("🚧 on n150, `bf16-hifi4`, batch 1; weights: some-model, its own.")
    assert first.endswith(" Not done: 2 operations in PyTorch; accuracy not judged.")


def test_a_done_model_has_no_reasons():
    assert "Not done" not in summary_page(report())


def test_only_a_projected_model_has_a_page_of_where_its_time_would_go():
    assert "(performance.md)" in summary_page(report())
    assert "(performance.md)" not in summary_page(report(figures=without("ttft")))


def test_a_program_without_a_peak_has_empty_cells():
    page = summary_page(report(programs=(ProgramSummary("encode", 7, 5, 2, 2**20, None, None),)))
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
        (Figure(3_221_225_472, "B", Word.VALIDATED, ""), "3,221,225,472 B"),
        (Figure(65_536, "B/core", Word.VALIDATED, ""), "65,536 B/core"),
        (Figure(1234, "", Word.VALIDATED, ""), "1,234"),
        (Figure(99.50421, "%", Word.EMULATED, ""), "99.504 %"),
        (Figure(0.99978, "", Word.EMULATED, ""), "0.99978"),
        (Figure(163.2, "ms", Word.PROJECTED, ""), "163.2 ms"),
    ],
)
def test_a_figure_reads_with_its_unit(figure, text):
    assert shown(figure) == text


def test_the_command_for_a_card_measures_this_model_in_this_precision():
    command = card_command(report(board="p150", precision="bfp8-hifi4")).split()
    assert command[:3] == ["ttscribe", "report", "some-model"]
    assert command[command.index("--device") + 1] == "ttnn:p150"
    assert command[command.index("--precision") + 1] == "bfp8-hifi4"
    assert card_command(report(board="p150")) in summary_page(report(board="p150"))


def test_what_is_not_whisper_has_no_command_for_a_card():
    figures = without("ttft", "ttft_floor", "tsu", "tsu_ceiling", "ts", "device_operations_token")
    assert "ttscribe report" not in summary_page(report(model="gpt2", figures=figures))


@pytest.mark.parametrize("option", ["--speech", "--board", "--output", "--table"])
def test_the_command_for_a_card_has_what_the_command_asks_for(option):
    assert option in card_command(report(board="p150")).split()


def test_the_trace_counts_variations_and_nodes_of_each_operation():
    found = rows(trace_page("some-model", "bf16-hifi4", [RELU, SORT]))
    assert ["`aten.relu.default`", "1", "5", "3", "2", "", "", "", "", "0.99912"] in found
    assert ["`aten.sort.default`", "1", "1", "", "", "", "", "1", "", ""] in found


def test_the_trace_has_each_variation_with_what_became_of_it():
    found = rows(trace_page("some-model", "bf16-hifi4", [RELU, SORT]))
    calls = "`ttnn.linear` 2, `ttnn.relu` 3"
    assert ["`float32[1, 64]`", "encode, prefill", "5", "fused 2, lowered 3", calls, "0.99912", "no", ""] in found
    assert ["`float32[1, 64]`", "encode", "1", "host 1", "", "", "yes", "no_rule: nobody"] in found


def test_the_trace_says_what_its_correlations_are():
    page = trace_page("some-model", "bf16-hifi4", [RELU])
    assert "**emulated** under `bf16-hifi4`" in page


@pytest.mark.parametrize("word", Word)
@pytest.mark.parametrize("column", COLUMNS)
def test_every_figure_of_the_table_has_the_mark_of_its_word(column, word):
    figures = every_figure()
    figures[COLUMNS[column][0]] = replace(figures[COLUMNS[column][0]], word=word)
    assert table_rows(report(figures=figures))["some-model"][column].endswith(MARKS[word])


@pytest.mark.parametrize(("column", "name"), [(column, name) for column, names in COLUMNS.items() for name in names])
def test_an_absent_figure_leaves_its_cell_empty_and_no_other(column, name):
    row = table_rows(report(figures=without(name, "device_operations")))["some-model"]
    assert row[column] == ""
    assert all(row[other] for other in COLUMNS if other != column)


@pytest.mark.parametrize("column", RANGES)
def test_a_projected_time_is_a_range_from_the_boards_limit_to_the_estimate(column):
    figures = every_figure()
    for name, value in zip(RANGES[column], (120.4, 250.6), strict=True):
        figures[name] = replace(figures[name], value=value)
    assert table_rows(report(figures=figures))["some-model"][column] == "120–251ᵖ"


@pytest.mark.parametrize(("column", "name"), [("TTFT ms", "ttft"), ("t/s/u", "tsu")])
def test_a_measured_time_is_one_number_beside_which_no_projection_stands(column, name):
    figures = every_figure()
    figures[name] = replace(figures[name], value=163.4, word=Word.MEASURED)
    assert table_rows(report(figures=figures))["some-model"][column] == "163ᵐ"


@pytest.mark.parametrize("column", RANGES)
def test_a_time_that_is_neither_projected_nor_measured_leaves_its_cell_empty(column):
    assert table_rows(report(figures=without(*RANGES[column])))["some-model"][column] == ""


def test_what_is_not_whisper_has_the_device_operations_of_one_run():
    figures = without("device_operations_window", "device_operations_token")
    expected = f"{figures['device_operations'].value}ᵛ"
    assert table_rows(report(figures=figures))["some-model"]["device operations, window / token"] == expected


def test_the_table_explains_its_marks():
    _, notes = model_table([report()]).split("\n\n", 1)
    for mark, word in zip(MARKS.values(), MARKS, strict=True):
        assert f"{mark} {word.value}" in notes


def test_distil_large_v3_is_first_and_the_others_keep_their_order():
    found = table_rows(report(model="tiny.en"), report(model="base"), DISTIL, report(model="another"))
    assert list(found) == ["distil-large-v3", "tiny.en", "base", "another"]


def test_the_target_is_that_of_the_model_and_the_board_that_it_was_published_for():
    assert table_rows(DISTIL)["distil-large-v3"]["target"] == "163 ms, 105 t/s/u"
    assert table_rows(replace(DISTIL, board="p150"))["distil-large-v3"]["target"] == ""
    assert table_rows(report())["some-model"]["target"] == ""


def test_why_a_row_is_not_done_stands_below_the_table():
    text = model_table([report(), report(model="tiny.en", status=Status.FAILED, reasons=("one", "two"))])
    assert text.splitlines()[-1] == "- tiny.en: one; two."
    assert "Why a row is not ✅" not in model_table([report()])


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
    for each in (report(), DISTIL):
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
    (folder / "some-model" / "report.json").write_text("{")
    with pytest.raises(OutputError, match=r"some-model/report\.json: .*make that report again"):
        write_table(readme, folder)
    assert "rows" in readme.read_text()


def test_writing_the_table_twice_is_writing_it_once(folder):
    readme = folder / "README.md"
    readme.write_text(f"é\n{BEGIN}\n{END}\n", encoding="utf-8")
    write_table(readme, folder)
    once = readme.read_text(encoding="utf-8")
    write_table(readme, folder)
    assert readme.read_text(encoding="utf-8") == once
    assert model_table([report(), DISTIL]) in once


def test_rows_go_from_distil_large_v3_over_the_sizes_of_whisper_to_other_models():
    names = ["opt", "gpt2", "large-v3", "tiny.en", "distil-large-v3", "base"]
    rows = model_table([report(model=name) for name in names]).splitlines()[2:8]
    order = ["distil-large-v3", "tiny.en", "base", "large-v3", "gpt2", "opt"]
    assert [row.split("[")[1].split("]")[0] for row in rows] == order
