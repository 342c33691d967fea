"""The page of distil-large-v3: what it says of work and limits, and that it can be computed again."""

import re
from xml.etree import ElementTree as ET

import pytest

from cost_model.page import PAGE, Subject, render
from sizes import DISTIL_LARGE_V3
from ttscribe.compiler.program import Role, TensorSpec
from ttscribe.reports.constants import CORE_RATE, N150, P150, PASSES, RELEASES, TILE_ROWS
from ttscribe.reports.kernel_times import first_token, kernel_times, total
from ttscribe.reports.work import FIRST_TOKEN, WITHOUT_TIMESTAMPS, work_of

# What a token reads: 14 matrices of 1280 x 1280 in each of two layers, the vocabulary filled up to whole tiles, and
# keys and values of 1504 positions. A tile of 1024 elements of bfloat8_b has 1088 bytes.
READ = (2 * 14 * 1280 + 52_224) * 1280 * 17 / 16 + 2 * 2 * 1504 * 1280 * 2
# One worker compiles the programs, once.
pytestmark = pytest.mark.xdist_group(DISTIL_LARGE_V3)


@pytest.fixture(scope="module")
def subject(programs):
    return Subject({"n150": programs, "p150": programs})


@pytest.fixture(scope="module")
def files(subject):
    return render(subject)


@pytest.fixture(scope="module")
def page(files):
    return files[PAGE]


def test_the_encoder_has_its_published_flops(programs):
    """1.89 linear, 0.37 attention and 0.018 convolution TFLOP for a window, from the model's shape."""
    found = {each.call: each.flops / 1e12 for each in kernel_times(programs["encode"], N150) if each.flops}
    assert found == pytest.approx({"linear": 1.89, "scaled_dot_product_attention": 0.37, "conv1d": 0.018}, rel=0.02)


def test_a_step_reads_its_weights_and_cross_attention_once(programs):
    """The decoder's matrices and the vocabulary in bfloat8_b, keys and values of 1500 positions a layer in bfloat16."""
    step = programs["greedy_step"]
    products = {op.operands[1] for op in step.ops if op.target == "ttnn.linear"}
    weights = [constant.value for constant in step.constants if constant.value.name in products]
    read = [*weights, *(value for value in step.inputs_of(Role.STATE) if "cross_attention" in value.name)]
    size = sum(value.spec.bytes for value in read if isinstance(value.spec, TensorSpec))
    assert size == pytest.approx(READ, rel=0.01)


@pytest.mark.parametrize(("board", "bandwidth"), [(N150, 288e9), (P150, 512e9)])
def test_the_floor_of_a_step_is_that_of_what_a_token_reads_and_writes(programs, board, bandwidth):
    """By hand from weights, their biases and cross-attention; padded activations come on top.

    Self-attention's caches, the suppression row, and a row of tiles of float32 logits that is written, read to pick a
    token and read for its probability; the vocabulary is filled up to 52,224.
    """
    caches = 2 * 2 * 448 * 1280 * 2
    suppressed, logits = 32 * 52_224 * 2, 32 * 52_224 * 4
    biases = 2 * (3840 + 3 * 1280 + 5120 + 1280) * 32 * 4
    least = (READ + biases + caches + suppressed + 3 * logits) / bandwidth
    floor = sum(each.floor_s for each in work_of(programs[WITHOUT_TIMESTAMPS[0]], board))
    assert least < floor < least / 0.97


def test_the_page_has_the_constants_and_their_sources(page):
    for chip in (N150, P150):
        for constant in (chip.cores, chip.clock, chip.dram_peak, CORE_RATE, TILE_ROWS, *PASSES.values()):
            assert f"| {constant.value:g} | {constant.unit} | {constant.source} |" in page


def test_the_page_has_what_was_published(page):
    for build in RELEASES:
        start = f"| {build.name} | {build.ttft_s * 1e3:.0f} | {build.rate:g} | {1e3 / build.rate:.2f} |"
        assert re.search(re.escape(start) + r" \d.*" + re.escape(build.source), page)


@pytest.mark.parametrize("name", [*FIRST_TOKEN, *WITHOUT_TIMESTAMPS])
def test_a_program_adds_up_on_the_page(page, programs, name):
    """On the n150, from the numbers that the page shows."""
    part = page[page.index("## What the kernels add up to, n150") :]
    lines = part[part.index(f"\n`{name}`:\n") :].split("\n\n")[1].splitlines()[2:]
    *calls, between, whole = ([float(cell) for cell in line.split(" | ")[1:7]] for line in lines)
    for column, total_shown in enumerate(whole):
        # Operations are those of the calls; the rest is rounded, in each row.
        expected = sum(row[column] for row in calls) + (between[column] if column else 0)
        assert expected == pytest.approx(total_shown, abs=0.5 * len(lines))
    assert whole[5] == pytest.approx(1e6 * total(kernel_times(programs[name], N150), [name])[1], abs=0.5)


def test_the_figures_of_the_page_are_those_of_its_tables(page, programs):
    times = [each for name in FIRST_TOKEN for each in kernel_times(programs[name], N150)]
    least, most = first_token(times)
    assert f"| n150 | {1e3 * least:.2f} to {1e3 * most:.2f} |" in page


def test_the_worked_example_can_be_recomputed(page):
    example = page[page.index("## To recompute a figure") :]
    for end in ("least", "most "):
        size, rate, calls, each, shown = re.search(
            rf"at {end} = (\d+) / (\S+) \+ (\d+) x (\S+) s = (\d+) us", example
        ).groups()
        assert 1e6 * (int(size) / float(rate) + int(calls) * float(each)) == pytest.approx(int(shown), abs=0.5)


def test_the_page_says_what_it_is(page):
    assert "*projected*" in page
    assert not re.search(r"\bnan\b|\binf\b", page)


def test_equal_programs_give_equal_files(files, programs):
    assert render(Subject({"n150": dict(programs), "p150": dict(programs)})) == files


def test_the_page_shows_its_plots(files, page):
    assert set(re.findall(r"\]\((\w+\.svg)\)", page)) == set(files) - {PAGE}
    assert all(ET.fromstring(text).tag.endswith("svg") for name, text in files.items() if name != PAGE)
