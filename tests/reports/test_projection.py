"""The cost model on programs small enough to compute by hand."""

from dataclasses import replace

import pytest

from reports.small_programs import MODEL, linear
from ttscribe.compiler.passes.precision import compute_config
from ttscribe.compiler.program import L1, DType, Layout, Op, Program, TensorSpec, Value
from ttscribe.reports.constants import N150, P150, Software
from ttscribe.reports.projection import operation_times, project, project_releases, total

HIFI4 = compute_config("HiFi4")


def one(program, chip=N150, **software):
    (time,) = operation_times(program, chip, Software(**software))
    return time


def test_a_large_product_is_bound_by_compute():
    time = one(linear(4096, 4096, 4096))
    assert time.flops == 2 * 4096**3
    assert time.bytes_dram == 3 * 2 * 4096**2
    assert time.compute_s == time.flops / 50.69e12
    assert time.dram_s == time.bytes_dram / 267e9
    assert time.floor_s == time.flops / (64 * 4096 * 1e9 / 4)
    assert (time.bound, time.estimate_s) == ("compute", time.compute_s)
    assert (time.op.target, time.index, time.op.source) == ("ttnn.linear", 0, ("linear_1",))


def test_a_wide_product_of_one_row_is_bound_by_dram():
    time = one(linear(1, 1280, 51872))
    assert time.bound == "dram"
    assert time.floor_s == time.bytes_dram / 288e9


def test_a_small_product_is_bound_by_its_launch():
    time = one(linear(32, 32, 32), overhead_s=1e-5)
    assert time.bound == "launch"
    assert time.launch_s == 1e-5
    assert time.estimate_s == 1e-5 + time.device_s


def test_one_row_takes_as_many_flops_as_a_tile():
    assert one(linear(1, 64, 64)).flops == one(linear(32, 64, 64)).flops == 2 * 32 * 64 * 64
    assert one(linear(33, 64, 64)).flops == 2 * 64 * 64 * 64


def test_what_is_in_l1_is_no_dram_traffic():
    assert one(linear(32, 64, 64, memory=L1)).bytes_dram == 2 * 64 * 64
    assert one(linear(32, 64, 64)).bytes_dram == 2 * (64 * 64 + 32 * 64 + 32 * 64)


def test_weights_count_at_their_element_type():
    wide, narrow = (one(linear(32, 64, 64, memory=L1, weights=dtype)) for dtype in (DType.BFLOAT16, DType.BFLOAT8_B))
    assert narrow.bytes_dram == wide.bytes_dram * 17 // 32


@pytest.mark.parametrize(("fidelity", "passes"), [("HiFi4", 4), ("HiFi2", 2)])
def test_fidelity_sets_the_peak(fidelity, passes):
    time = one(linear(4096, 4096, 4096, fidelity=fidelity), P150)
    assert time.floor_s == pytest.approx(time.flops / (130 * 1.35e9 * 4096 / passes))


def test_attention_multiplies_queries_by_all_keys_twice():
    q, kv = TensorSpec((1, 20, 1, 64)), TensorSpec((1, 20, 1500, 64))
    inputs = (Value("q", q), Value("k", kv), Value("v", kv))
    attributes = (("is_causal", False), ("compute_kernel_config", HIFI4))
    op = Op("ttnn.transformer.scaled_dot_product_attention", ("q", "k", "v"), (Value("y", q),), attributes=attributes)
    time = one(Program("small", inputs, (), (), (), (op,), ("y",)))
    assert time.flops == 2 * 2 * 20 * 32 * 1504 * 64
    assert time.bytes_dram == 2 * (2 * 20 * 1504 * 64 + 2 * 20 * 32 * 64)


def test_element_wise_calls_cost_bytes_and_a_launch():
    spec = TensorSpec((1, 1, 32, 64))
    op = Op("ttnn.add", ("a", "b"), (Value("y", spec),))
    time = one(Program("small", (Value("a", spec), Value("b", spec)), (), (), (), (op,), ("y",)), overhead_s=1.0)
    assert (time.flops, time.bytes_dram, time.launch_s) == (0, 3 * spec.bytes, 1.0)


def test_a_call_that_launches_nothing_takes_no_time():
    spec = TensorSpec((4, 64), layout=Layout.ROW_MAJOR)
    made = Value("y", replace(spec, shape=(1, 4, 64)))
    op = Op("ttnn.reshape", ("x",), (made,), (), (("shape", (1, 4, 64)),))
    program = Program("small", (Value("x", spec),), (), (), (), (op,), ("y",))
    assert list(operation_times(program, N150, Software())) == []


def test_the_slowdown_multiplies_the_device_and_not_the_launch():
    plain, slow = one(linear(64, 64, 64), overhead_s=1.0), one(linear(64, 64, 64), overhead_s=1.0, slowdown=3.0)
    assert slow.estimate_s - 1 == pytest.approx(3 * (plain.estimate_s - 1), rel=1e-6)
    assert slow.floor_s == plain.floor_s


@pytest.mark.parametrize("chip", [N150, P150], ids=["n150", "p150"])
@pytest.mark.parametrize("fidelity", ["HiFi2", "HiFi4"])
@pytest.mark.parametrize("weights", [DType.BFLOAT16, DType.BFLOAT8_B])
@pytest.mark.parametrize("rows", [1, 32, 1500])
def test_the_floor_is_never_above_the_estimate(chip, fidelity, weights, rows):
    time = one(linear(rows, 1280, 5120, weights=weights, fidelity=fidelity), chip)
    assert time.floor_s <= time.estimate_s


@pytest.fixture
def projection():
    return project(MODEL, N150, Software(1e-3, 2.0, 0.5))


def test_the_first_token_takes_host_encoder_cross_attention_and_prompt(projection):
    first = [each for name in ("encode", "cross_kv", "prefill") for each in projection.programs[name]]
    assert projection.ttft_s.estimate == pytest.approx(0.5 + sum(each.estimate_s for each in first))
    assert projection.ttft_s.floor == pytest.approx(sum(each.floor_s for each in first))


def test_the_rate_is_of_steps(projection):
    (step,) = projection.programs["timed_step"]
    assert projection.rate.estimate == 1 / step.estimate_s
    assert projection.rate.floor == 1 / step.floor_s


def test_a_total_sums_and_names_what_most_of_its_time_is_bound_by():
    small, large = one(linear(32, 32, 32), overhead_s=1e-5), one(linear(4096, 4096, 4096), overhead_s=1e-5)
    found = total("encode", "ttnn.linear", (small, small, large))
    assert found.bound == "compute"
    assert found.estimate_s == 2 * small.estimate_s + large.estimate_s
    assert (found.device_operations, found.flops) == (3, 2 * small.flops + large.flops)
    assert total("encode", "ttnn.linear", (small, small)).bound == "launch"


def test_programs_are_summed_in_the_order_in_which_they_run_each_before_its_calls(projection):
    found = [(each.program, each.call) for each in projection.calls()]
    counted = [name for name in MODEL if name != "greedy_step"]
    assert found == [(name, call) for name in counted for call in ("", "ttnn.linear")]


def test_figures_are_in_the_units_of_the_report(projection):
    found = projection.projected("a release")
    assert (found.ttft_floor, found.ttft) == (1e3 * projection.ttft_s.floor, 1e3 * projection.ttft_s.estimate)
    assert (found.tsu_ceiling, found.tsu) == (projection.rate.floor, projection.rate.estimate)


def test_of_other_programs_than_whispers_nothing_is_projected():
    assert project_releases({"graph_0": linear(32, 32, 32)}, N150) == {}
