"""The page of a report: what it needs, and what a browser makes of it."""

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from reports.by_hand import STAYS, checked, every_figure
from ttscribe.reports.collect import collect
from ttscribe.reports.html import blocks, page
from ttscribe.reports.model import FIGURES, Status

pytestmark = pytest.mark.xdist_group("reports of a small Whisper")

PLOT = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="5" height="5"/></svg>'


def counted(program):
    """How many steps of a program are drawn."""
    return sum(not hasattr(step, "target") or step.target != "ttnn.deallocate" for step in program.body)


@pytest.fixture(scope="module")
def programs(compilation):
    """The small Whisper's, and its first with one operation more, which stays in PyTorch."""
    encode = compilation.programs["encode"]
    return {**compilation.programs, "mixed": replace(encode, name="mixed", body=(*encode.body, STAYS))}


@pytest.fixture(scope="module")
def made(compilation, programs, variations):
    """Its report with every figure."""
    found = collect(compilation, checked(compilation), None, None, variations, weights="made up")
    summaries = [replace(each, calls=counted(programs[each.name])) for each in found.programs]
    mixed = replace(summaries[0], name="mixed", calls=counted(programs["mixed"]), host_segments=1)
    return replace(found, figures=every_figure(), programs=(*summaries, mixed))


@pytest.fixture(scope="module")
def text(made, programs, variations):
    return page(made, programs, variations, {"a plot": PLOT})


class Reader(HTMLParser):
    """A document's figures, the blocks of each program by kind, its ids, and its text."""

    def __init__(self, text):
        super().__init__()
        self.figures, self.blocks, self.ids, self.text, self.program = {}, {}, set(), "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.add(given.get("id"))
        if "data-figure" in given:
            self.figures[given["data-figure"]] = (float(given["data-value"]), given["data-word"])
        if tag == "section":
            self.program = given["data-program"]
            self.blocks[self.program] = []
        if tag == "i" and self.program is not None:
            self.blocks[self.program].append((given["class"], given["title"]))

    def handle_endtag(self, tag):
        if tag == "section":
            self.program = None

    def handle_data(self, data):
        self.text += data


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
def written(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def document(browser, written):
    """The page as the browser has it."""
    return Reader(browser("--dump-dom", written.as_uri()))


def test_the_page_needs_nothing_from_anywhere(text):
    links = set(re.findall(r"\w+://[^\"'\s)]*", text))
    assert links == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script|<link|<iframe|<img|\bsrc\s*=|\bhref\s*=|@import|url\(|@font-face", text)


def test_equal_reports_give_equal_pages(made, programs, variations, text):
    assert page(made, dict(programs), list(variations), {"a plot": PLOT}) == text


def test_text_of_others_is_escaped(made, programs, variations):
    strange = replace(made, model="<script>alert(1)</script>", fallbacks=("a & b <i>",), findings=("<b>no</b>",))
    text = page(strange, programs, variations, {})
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "a &amp; b &lt;i&gt;" in text


def test_an_absent_figure_has_no_row(made, programs, variations):
    figures = {name: figure for name, figure in made.figures.items() if name != "tsu"}
    found = Reader(page(replace(made, figures=figures), programs, variations, {}))
    assert set(FIGURES) - set(found.figures) == {"tsu"}


def test_a_model_that_is_not_done_says_why(made, programs, variations):
    wanting = replace(made, status=Status.FAILED, reasons=("2 calls refused on the mock board",))
    text = Reader(page(wanting, programs, variations, {})).text
    assert "❌" in text
    assert "Not done: 2 calls refused on the mock board." in text
    assert "contract is met" not in text


def test_a_done_model_says_what_that_means(programs, variations, made):
    text = Reader(page(replace(made, status=Status.DONE, reasons=()), programs, variations, {})).text
    assert "✅" in text
    assert "Not done" not in text


def test_every_call_is_a_block_and_frees_are_none(programs):
    for program in programs.values():
        assert len(list(blocks(program))) == counted(program) < len(program.body)


def test_a_host_segment_is_a_red_block_with_its_reason(programs, text):
    *_, last = blocks(programs["mixed"])
    assert last.kind == "host"
    assert last.title.endswith('PyTorch: aten.sort.default (no_rule): no rule for "this" <yet>')
    assert "i.host { background: #c62828;" in text
    assert not any(block.kind == "host" for block in blocks(programs["encode"]))


def test_blocks_have_the_kind_of_their_call(programs):
    kinds = Counter(block.kind for block in blocks(programs["encode"]))
    assert (kinds["convolution"], kinds["attention"]) == (2, 2)
    assert kinds["norm"] == 5


def test_a_report_without_peaks_or_memory_has_a_page(made, programs, variations):
    bare = tuple(replace(each, dram_added=0, peak_l1=None, peak_l1_call=None) for each in made.programs)
    assert "width: 0.0%" in page(replace(made, programs=bare), programs, variations, {})


def test_a_browser_reads_the_reports_figures(document, made):
    assert document.figures == {name: (figure.value, figure.word.value) for name, figure in made.figures.items()}
    assert len(document.figures) == len(FIGURES)


def test_a_browser_draws_as_many_blocks_as_there_are_calls(document, made):
    assert {name: len(found) for name, found in document.blocks.items()} == {
        summary.name: summary.calls for summary in made.programs
    }


def test_a_browser_shows_what_stays_in_pytorch_in_red_and_with_its_reason(document):
    hosts = {name: [title for kind, title in found if kind == "host"] for name, found in document.blocks.items()}
    assert {name for name, titles in hosts.items() if titles} == {"mixed"}
    (title,) = hosts["mixed"]
    assert 'no rule for "this" <yet>' in title


def test_a_browser_shows_words_sections_and_every_variation(document, variations):
    assert {"status", "figures", "operations"} <= document.ids
    for word in ("validated", "emulated", "projected", "measured", "Memory", "On a card"):
        assert word in document.text
    assert f"{len(variations)} input variations" in document.text


def test_a_browser_paints_it(browser, written, tmp_path):
    """A picture of it says far more than one of an empty page, both compressed."""
    empty = tmp_path / "empty.html"
    empty.write_text("<!doctype html><title>empty</title>")
    sizes = []
    for document in (empty, written):
        picture = tmp_path / f"{document.stem}.png"
        browser(f"--screenshot={picture}", "--window-size=1000,1200", document.as_uri())
        assert picture.read_bytes().startswith(b"\x89PNG")
        sizes.append(picture.stat().st_size)
    assert sizes[1] > 5 * sizes[0]
