import pytest

from cost_model.gap import ALTERNATIVES, gaps, retyped, savings
from reports.small_programs import MODEL, linear
from ttscribe.compiler.program import DType
from ttscribe.reports.constants import N150
from ttscribe.reports.kernel_times import HOST, added, kernel_times, total
from ttscribe.reports.work import work_of

SHORT = "weights in bfloat16"


def test_gaps_are_what_each_kind_of_call_takes_beyond_its_floor():
    flops = 2 * 4096**3
    (found,) = (gap for gap in gaps(MODEL, N150) if (gap.program, gap.call) == ("encode", "linear"))
    assert found.least_s == pytest.approx(flops / 51e12 - flops / 65.536e12)
    assert found.most_s == pytest.approx(flops / 47.5e12 / 0.85 - flops / 65.536e12)


@pytest.mark.parametrize(
    ("figure", "names"), [("TTFT", ("encode", "cross_kv", "prefill")), ("step", ("timed_step",))], ids=["TTFT", "step"]
)
def test_gaps_add_up_to_the_figure_less_its_floor(figure, names):
    found = [gap for gap in gaps(MODEL, N150) if gap.figure == figure]
    floor = sum(work.floor_s for name in names for work in work_of(MODEL[name], N150))
    whole = added(
        *(total(kernel_times(MODEL[name], N150), [name]) for name in names), HOST if figure == "TTFT" else (0, 0)
    )
    assert sum(gap.least_s for gap in found) == pytest.approx(whole[0] - floor)
    assert sum(gap.most_s for gap in found) == pytest.approx(whole[1] - floor)
    assert sum(gap.share for gap in found) == pytest.approx(1)
    assert [gap.share for gap in found] == sorted((gap.share for gap in found), reverse=True)
    assert all(gap.change for gap in found)


def test_the_host_is_a_cause_beside_the_programs():
    (host,) = (gap for gap in gaps(MODEL, N150) if not gap.program)
    assert (host.figure, host.call, host.least_s, host.most_s) == ("TTFT", "the host", *HOST)


def test_only_what_is_named_is_retyped():
    program = retyped(linear(32, 64, 64), {"w"}, DType.BFLOAT8_B)
    assert [value.spec.dtype for value in program.inputs] == [DType.BFLOAT16, DType.BFLOAT8_B]


def test_each_alternative_is_projected_by_itself_beside_what_is():
    narrow = {name: retyped(program, {"w"}, DType.BFLOAT8_B) for name, program in MODEL.items()}
    usual, *others = savings(narrow, N150)
    found = {each.alternative: each for each in others}
    assert list(found) == [each.name for each in ALTERNATIVES]
    assert usual.step_s == total(kernel_times(narrow["timed_step"], N150), ["timed_step"])
    assert found[SHORT].step_s == total(kernel_times(MODEL["timed_step"], N150), ["timed_step"])
    # These programs have HiFi4.
    assert found["products and attention at HiFi3"].ttft_s < usual.ttft_s
    assert found["products and attention at HiFi3"].step_s == usual.step_s
