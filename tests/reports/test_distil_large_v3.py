"""The page of distil-large-v3, whose published figures the model is fitted to."""

import re
from xml.etree import ElementTree as ET

import pytest

from ttscribe.compiler.compilation import Settings, compile_graph
from ttscribe.compiler.passes import policy
from ttscribe.compiler.program import TensorSpec
from ttscribe.compiler.whisper_programs import capture_program
from ttscribe.reports.calibration import FORMS, MODEL, PUBLISHED, STEP, TTFT, calibrate, project_builds
from ttscribe.reports.gap import ALTERNATIVES, gaps, savings
from ttscribe.reports.hardware import BOARDS, N150, P150
from ttscribe.reports.performance import PAGE, PROGRAMS, Subject, render, write
from ttscribe.reports.projection import FIRST_TOKEN, NEXT_TOKEN, STATUS, Software, project
from ttscribe.whisper.config import WhisperConfig
from ttscribe.whisper.model import shape_only_model

# One worker compiles the programs, once.
pytestmark = pytest.mark.xdist_group("projected distil-large-v3")


@pytest.fixture(scope="module")
def programs():
    model = shape_only_model(WhisperConfig.named(MODEL))
    settings = Settings(policy("bf16-hifi4"))
    return {name: compile_graph(capture_program(name, model), settings).program for name in PROGRAMS}


@pytest.fixture(scope="module")
def calibration(programs):
    return calibrate(programs)


@pytest.fixture(scope="module")
def subject(programs):
    return Subject.of(MODEL, programs, programs)


@pytest.fixture(scope="module")
def files(subject):
    return render(subject)


@pytest.fixture(scope="module")
def page(files):
    return files[PAGE]


@pytest.fixture(params=[build.name for build in PUBLISHED])
def projection(request, programs, calibration):
    return project_builds(programs, calibration)[request.param]


def test_the_encoder_has_its_published_flops(programs):
    """1.89 linear, 0.37 attention and 0.018 convolution TFLOP for a window, from the model's shape."""
    total = project(programs, N150, Software()).programs["encode"]
    assert total.flops == pytest.approx(2.27e12, rel=0.01)
    by_kind = {kind.rpartition(".")[2]: each.flops / 1e12 for kind, each in total.by_kind().items() if each.flops}
    assert by_kind == pytest.approx({"linear": 1.89, "scaled_dot_product_attention": 0.37, "conv1d": 0.018}, rel=0.02)


def test_a_step_reads_its_weights_and_cross_attention_once(programs):
    """240 MB in bfloat16: the decoder's matrices, the vocabulary, and keys and values of 1500 positions a layer."""
    step = programs["greedy_step"]
    products = {op.operands[1] for op in step.ops if op.target == "ttnn.linear"}
    weights = [constant.value for constant in step.constants if constant.value.name in products]
    read = [*weights, *(value for value in step.inputs if value.name.startswith("state_cross_attention"))]
    size = sum(value.spec.bytes for value in read if isinstance(value.spec, TensorSpec))
    assert size == pytest.approx(240e6, rel=0.01)


@pytest.mark.parametrize(("board", "bandwidth"), [(N150, 288e9), (P150, 512e9)])
def test_the_ceiling_of_the_rate_is_that_of_what_a_token_reads_and_writes(programs, board, bandwidth):
    """By hand from 240 MB of weights and cross-attention; padded activations come on top.

    Self-attention's caches, the suppression row, and a tile of logits that is written and read again.
    """
    caches = 2 * 2 * 448 * 1280 * 2
    logits = suppressed = 32 * 51_866 * 2
    ceiling = bandwidth / (240e6 + caches + suppressed + 2 * logits)
    assert 0.97 * ceiling < project(programs, board, Software()).rate.floor < ceiling


def test_the_floor_is_below_the_estimate_everywhere(projection):
    for total in projection.programs.values():
        assert all(each.floor_s <= each.estimate_s for each in total.operations)
    assert projection.ttft_s.floor < projection.ttft_s.estimate
    assert projection.rate.floor > projection.rate.estimate


def test_every_published_figure_has_a_residual(calibration):
    found = [(residual.build.name, residual.quantity, residual.published_s) for residual in calibration.residuals]
    wanted = [
        (build.name, quantity, seconds)
        for build in PUBLISHED
        for quantity, seconds in ((TTFT, build.ttft_s), (STEP, 1 / build.rate))
    ]
    assert found == wanted
    assert all(residual.held_out_s for residual in calibration.residuals)
    assert calibration.worst == max(abs(residual.relative) for residual in calibration.residuals)


def test_what_is_projected_for_a_build_is_what_was_fitted(programs, calibration):
    projections = project_builds(programs, calibration)
    for residual in calibration.residuals:
        of_build = projections[residual.build.name]
        span = of_build.ttft_s if residual.quantity == TTFT else of_build.step_s
        assert span.estimate == pytest.approx(residual.projected_s)


def test_more_parameters_fit_better(programs):
    fits = [calibrate(programs, form) for form in FORMS]
    assert [fit.parameters for fit in fits] == [3, 5, 6]
    squares = [sum(residual.relative**2 for residual in fit.residuals) for fit in fits]
    assert squares == sorted(squares, reverse=True)


def test_fitted_values_keep_their_bounds(calibration):
    for software in calibration.software.values():
        assert software.overhead_s >= 0
        assert software.slowdown >= 1
        assert software.host_s >= 0
    assert {software.slowdown for software in calibration.software.values()} == {
        calibration.software[PUBLISHED[0].name].slowdown
    }


def test_gaps_add_up_to_the_estimate_less_the_floor(projection):
    host = projection.software.host_s
    for names, host_s, span in ((FIRST_TOKEN, host, projection.ttft_s), (NEXT_TOKEN, 0.0, projection.step_s)):
        found = gaps(projection, names, host_s)
        assert sum(gap.seconds for gap in found) == pytest.approx(span.estimate - span.floor)
        assert sum(gap.share for gap in found) == pytest.approx(1)
        assert [gap.seconds for gap in found] == sorted((gap.seconds for gap in found), reverse=True)
        assert all(gap.change and gap.status == STATUS for gap in found)


def test_savings_are_what_projecting_again_gives(programs, projection):
    found = {saving.alternative: saving for saving in savings(programs, projection.board, projection.software)}
    assert set(found) == {alternative.name for alternative in ALTERNATIVES}
    both, weights = found["weights in bfloat8_b, and HiFi2"], found["weights in bfloat8_b"]
    assert found["only the vocabulary's weights in bfloat8_b"].step_s < weights.step_s
    assert found["products and attention at HiFi2"].ttft_s > weights.ttft_s
    assert both.ttft_s >= found["products and attention at HiFi2"].ttft_s
    assert found["keys and values of cross-attention in bfloat8_b"].step_floor_s == pytest.approx(
        4 * 20 * 1504 * 64 * (2 - 17 / 16) / projection.board.dram_peak.value
    )


def test_the_page_has_the_constants_and_their_sources(page):
    for board in (N150, P150):
        for _, constant in board.constants():
            assert f"| {constant.value:g} | {constant.unit} | {constant.source} |" in page


def test_the_page_has_what_was_published_and_fitted(page, calibration):
    for build in PUBLISHED:
        software = calibration.software[build.name]
        assert f"| {build.name} | {build.ttft_s * 1e3:.0f} | {build.rate:g} | {build.source} |" in page
        assert f"| {build.name} | {software.overhead_s * 1e6:.3f} | {software.slowdown:.4f} |" in page


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_can_be_recomputed_from_the_page(page, name):
    """On the n150, from the numbers that the page shows."""
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    operations, *_, measured, estimate = row.strip("| ").split(" | ")[1:]
    fitted = re.search(r"^\| n150, traced \| (\S+) \| (\S+) \| \S+ \|$", page, re.MULTILINE)
    overhead, slowdown = map(float, fitted.groups())
    projected = slowdown * float(measured) + int(operations) * overhead / 1e3
    assert projected == pytest.approx(float(estimate), abs=0.02)


def test_a_call_can_be_recomputed_from_the_page(page):
    """Floor and estimate of the worked example, from the numbers that the page shows."""
    example = page[page.index("## To recompute a figure") :]
    flops, peak, size, bandwidth, floor = re.search(
        r"floor    = max\((\d+) / (\S+), (\d+) / (\S+)\) s = (\S+) us", example
    ).groups()
    assert max(int(flops) / float(peak), int(size) / float(bandwidth)) * 1e6 == pytest.approx(float(floor), abs=0.01)
    slowdown, longest, launch, estimate = re.search(r"estimate = (\S+) x (\S+) \+ (\S+) = (\S+) us", example).groups()
    assert float(slowdown) * float(longest) + float(launch) == pytest.approx(float(estimate), abs=0.1)


def test_the_page_says_what_it_is(page):
    assert "*projected*" in page
    assert not re.search(r"\bnan\b|\binf\b", page)


def test_equal_programs_give_equal_files(files, programs, tmp_path):
    written = write(tmp_path / MODEL, Subject.of(MODEL, dict(programs), dict(programs)))
    assert {path.name: path.read_text(encoding="utf-8") for path in written} == files


def test_the_page_shows_its_plots(files, page):
    assert set(re.findall(r"\]\((\w+\.svg)\)", page)) == set(files) - {PAGE}
    assert all(ET.fromstring(text).tag.endswith("svg") for name, text in files.items() if name != PAGE)


def test_every_published_board_is_known():
    assert {build.board for build in PUBLISHED} <= set(BOARDS)
