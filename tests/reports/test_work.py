"""What calls have to do, and their floors, on programs small enough to compute by hand."""

from dataclasses import replace

import pytest

from reports.small_programs import linear
from ttscribe.compiler.passes.precision import compute_config
from ttscribe.compiler.program import L1, DType, Layout, Op, Program, TensorSpec, Value
from ttscribe.reports.constants import N150, P150
from ttscribe.reports.work import work_of

HIFI4 = compute_config("HiFi4")


def one(program, chip=N150):
    (work,) = work_of(program, chip)
    return work


def test_the_floor_of_a_large_product_is_its_flops():
    work = one(linear(4096, 4096, 4096))
    assert work.flops == 2 * 4096**3
    assert work.bytes_dram == 3 * 2 * 4096**2
    assert work.floor_s == work.flops / (64 * 4096 * 1e9 / 4)
    assert (work.op.target, work.device_operations) == ("ttnn.linear", 1)


def test_the_floor_of_a_wide_product_of_one_row_is_its_bytes():
    work = one(linear(1, 1280, 51872))
    assert work.floor_s == work.bytes_dram / 288e9


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
    work = one(linear(4096, 4096, 4096, fidelity=fidelity), P150)
    assert work.floor_s == pytest.approx(work.flops / (130 * 1.35e9 * 4096 / passes))


def test_attention_multiplies_queries_by_all_keys_twice():
    q, kv = TensorSpec((1, 20, 1, 64)), TensorSpec((1, 20, 1500, 64))
    inputs = (Value("q", q), Value("k", kv), Value("v", kv))
    attributes = (("is_causal", False), ("compute_kernel_config", HIFI4))
    op = Op("ttnn.transformer.scaled_dot_product_attention", ("q", "k", "v"), (Value("y", q),), attributes=attributes)
    work = one(Program("small", inputs, (), (), (), (op,), ("y",)))
    assert work.flops == 2 * 2 * 20 * 32 * 1504 * 64
    assert work.bytes_dram == 2 * (2 * 20 * 1504 * 64 + 2 * 20 * 32 * 64)


def test_element_wise_calls_cost_bytes():
    spec = TensorSpec((1, 1, 32, 64))
    op = Op("ttnn.add", ("a", "b"), (Value("y", spec),))
    work = one(Program("small", (Value("a", spec), Value("b", spec)), (), (), (), (op,), ("y",)))
    assert (work.flops, work.bytes_dram, work.floor_s) == (0, 3 * spec.bytes, 3 * spec.bytes / 288e9)


def test_a_call_that_launches_nothing_does_nothing():
    spec = TensorSpec((4, 64), layout=Layout.ROW_MAJOR)
    made = Value("y", replace(spec, shape=(1, 4, 64)))
    op = Op("ttnn.reshape", ("x",), (made,), (), (("shape", (1, 4, 64)),))
    program = Program("small", (Value("x", spec),), (), (), (), (op,), ("y",))
    assert list(work_of(program, N150)) == []
