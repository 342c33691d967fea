"""Programs on the emulated device: binding, state, host segments, memory, ledger."""

import math
import sys
from dataclasses import replace

import pytest
import torch

from compiler.building import written_inputs
from ttscribe.compiler.operations import MOVES_IN, MOVES_OUT, OPERATIONS, engine
from ttscribe.compiler.program import (
    Config,
    Constant,
    DType,
    Fallback,
    HostOp,
    HostSegment,
    HostSpec,
    Layout,
    Op,
    Program,
    Reason,
    Ref,
    TensorSpec,
    Value,
)
from ttscribe.compiler.verify import verify
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.errors import DeviceUnavailable, EmulationError

MATRIX = TensorSpec((5, 40))
HOST = HostSpec((5, 40), "float32")
X = (Value("x", MATRIX),)
POSITION = TensorSpec((1,), DType.INT32, Layout.ROW_MAJOR)
HIFI4 = {"compute_kernel_config": Config("ComputeKernelConfig", (("math_fidelity", "HiFi4"),))}
TILES = (("dtype", DType.BFLOAT16), ("layout", Layout.TILE))


def program(*body, inputs=X, outputs=("y",), params=(), setup=(), constants=()):
    made = Program("tiny", inputs, params, setup, constants, body, outputs)
    made = replace(made, written_inputs=written_inputs(inputs, body, made.specs()))
    verify(made)
    return made


def op(target, *operands, out="y", spec=MATRIX, keywords=(), **attributes):
    outputs = (Value(out, spec),) if out else ()
    return Op(target, operands, outputs, keywords, tuple(attributes.items()))


@pytest.fixture(params=[True, False], ids=["exact", "rounding"])
def device(request):
    return EmulatedDevice(exact=request.param)


def test_every_operation_of_the_table_is_emulated():
    assert {name for name, each in OPERATIONS.items() if each.emulate is None} == {MOVES_IN, MOVES_OUT}


def test_unknown_operation_is_named_at_load(device):
    unknown = Program("tiny", (Value("x", MATRIX),), (), (), (), (op("ttnn.fly", "x"),), ("y",))
    with pytest.raises(EmulationError, match=r"tiny: ttnn\.fly is not emulated"):
        device.load(unknown, {})


def test_weights_are_bound_through_setup_and_constants(device):
    made = program(
        op("ttnn.linear", "x", "w", spec=TensorSpec((5, 7))),
        params=(Value("weight", HostSpec((7, 40), "float32")),),
        setup=(HostOp("aten.t.default", (Ref("weight"),), (), Value("turned", HostSpec((40, 7), "float32"))),),
        constants=(Constant(Value("w", TensorSpec((40, 7))), "turned"),),
    )
    x, weight = torch.randn(5, 40), torch.randn(7, 40)
    loaded = device.load(made, {"weight": weight})
    assert not loaded.ledger
    (y,) = loaded(device.to_device(x, MATRIX))
    torch.testing.assert_close(y.data, x @ weight.T, rtol=0.05, atol=1e-5 if device.exact else 0.2)


def test_missing_param_is_named(device):
    made = program(
        op("ttnn.relu", "w"), params=(Value("weight", HOST),), constants=(Constant(Value("w", MATRIX), "weight"),)
    )
    with pytest.raises(EmulationError, match="needs the params weight"):
        device.load(made, {})
    with pytest.raises(EmulationError, match=r"w: a tensor of shape \(5, 5\) is given for \(5, 40\)"):
        device.load(made, {"weight": torch.zeros(5, 5)})


def test_host_segments_run_in_pytorch_and_are_counted(device):
    stays = Fallback("sort", "aten.sort.default", Reason.NO_RULE, "nobody wrote a rule")
    segment = HostSegment(
        (
            HostOp("aten.sort.default", (Ref("h"),), (("descending", True),), Value("pair", HostSpec((), "tuple"))),
            HostOp("operator.getitem", (Ref("pair"), 0), (), Value("sorted", HOST)),
        ),
        ("h",),
        ("sorted",),
        (stays,),
    )
    made = program(
        op("ttnn.relu", "x", out="r"),
        op("ttnn.to_torch", "r", out="h", spec=HOST, dtype="float32"),
        segment,
        op("ttnn.from_torch", "sorted", **dict(TILES)),
    )
    x = torch.randn(5, 40).bfloat16().float()
    loaded = device.load(made, {})
    for _ in range(3):
        (y,) = loaded(device.to_device(x, MATRIX))
    assert torch.equal(y.data, x.relu().sort(descending=True)[0])
    on_device = {"ttnn.relu": 3, "ttnn.to_torch": 3, "ttnn.from_torch": 3}
    assert loaded.ledger == on_device | {"aten.sort.default": 3, "operator.getitem": 3}


def test_programs_share_state_that_one_writes(device):
    write = program(
        op("ttnn.copy", "x", "state", out=None),
        op("ttnn.plus_one", "position", out=None),
        inputs=(Value("x", MATRIX), Value("state", MATRIX), Value("position", POSITION)),
        outputs=(),
    )
    read = program(op("ttnn.neg", "x"))
    state, position = device.zeros(MATRIX), device.zeros(POSITION)
    x = torch.randn(5, 40).bfloat16().float()
    for _ in range(2):
        device.load(write, {})(device.to_device(x, MATRIX), state, position)
    (y,) = device.load(read, {})(state)
    assert torch.equal(y.data, -x)
    assert position.data.tolist() == [2]


@pytest.mark.parametrize(
    "move",
    [
        op("ttnn.transpose", "x", out="before", spec=TensorSpec((40, 5)), dim1=0, dim2=1),
        op("ttnn.slice", "x", out="before", spec=TensorSpec((3, 40)), slice_start=(0, 0), slice_end=(3, 40)),
        op("ttnn.clone", "x", out="before"),
        op("ttnn.typecast", "x", out="before", dtype=DType.BFLOAT16),
        op("ttnn.expand", "x", out="before", spec=TensorSpec((2, 5, 40)), shape=(2, 5, 40)),
    ],
    ids=lambda move: move.target,
)
def test_a_copy_keeps_its_values_when_its_source_is_written(device, move):
    made = program(
        move,
        op("ttnn.copy", "new", "x", out=None),
        inputs=(Value("x", MATRIX), Value("new", MATRIX)),
        outputs=("before",),
    )
    x = device.to_device(torch.ones(5, 40), MATRIX)
    (before,) = device.load(made, {})(x, device.zeros(MATRIX))
    assert before.data.eq(1).all()
    assert x.data.eq(0).all()


def test_a_free_reshape_is_another_view_as_on_the_card(device):
    made = program(
        op("ttnn.reshape", "x", out="view", spec=TensorSpec((1, 5, 40)), shape=(1, 5, 40)),
        op("ttnn.copy", "new", "x", out=None),
        inputs=(Value("x", MATRIX), Value("new", MATRIX)),
        outputs=("view",),
    )
    (view,) = device.load(made, {})(device.zeros(MATRIX), device.to_device(torch.ones(5, 40), MATRIX))
    assert view.data.eq(1).all()


def test_moves_in_and_out_do_not_share_memory_with_the_host(device):
    made = program(
        op(
            "ttnn.from_torch",
            "host",
            out="x",
            dtype=DType.FLOAT32,
            layout=Layout.TILE,
            spec=TensorSpec((5, 40), DType.FLOAT32),
        ),
        op("ttnn.to_torch", "x", spec=HOST, dtype="float32"),
        inputs=(Value("host", HOST),),
    )
    host = torch.randn(5, 40)
    (y,) = device.load(made, {})(host)
    assert torch.equal(y, host)
    assert y.data_ptr() != host.data_ptr()


def test_results_are_rounded_unless_exact():
    x = torch.randn(5, 40).bfloat16().float()
    made = program(op("ttnn.square", "x"))
    exact, rounding = (EmulatedDevice(exact=flag) for flag in (True, False))
    (full,) = exact.load(made, {})(exact.to_device(x, MATRIX))
    (rounded,) = rounding.load(made, {})(rounding.to_device(x, MATRIX))
    assert torch.equal(full.data, x.square())
    assert torch.equal(rounded.data, x.square().bfloat16().float())


def test_numbers_are_stored_in_the_tensors_dtype():
    device = EmulatedDevice()
    x = device.to_device(torch.ones(5, 40), MATRIX)
    (y,) = device.load(program(op("ttnn.multiply", "x", other=1 / 3)), {})(x)
    assert torch.equal(y.data, torch.full((5, 40), 1 / 3).bfloat16().float())


def test_wrong_inputs_are_named(device):
    loaded = device.load(program(op("ttnn.relu", "x")), {})
    with pytest.raises(EmulationError, match="takes 1 inputs, not 0"):
        loaded()
    with pytest.raises(EmulationError, match=r"input x must be .* not a host tensor of shape \(5, 40\)"):
        loaded(torch.zeros(5, 40))
    with pytest.raises(EmulationError, match="input x must be"):
        loaded(device.zeros(TensorSpec((5, 41))))


def test_an_error_names_the_step(device):
    ids = TensorSpec((3,), DType.UINT32, Layout.ROW_MAJOR)
    made = program(
        op("ttnn.embedding", "ids", "w", spec=TensorSpec((3, 40)), layout=Layout.TILE),
        inputs=(Value("ids", ids), Value("w", MATRIX)),
    )
    with pytest.raises(EmulationError, match=r"tiny: step 0 \(ttnn\.embedding\)"):
        device.load(made, {})(device.to_device(torch.tensor([0, 5, 1]), ids), device.zeros(MATRIX))


def test_uint32_ids_survive(device):
    ids = TensorSpec((3,), DType.UINT32, Layout.ROW_MAJOR)
    held = device.to_device(torch.tensor([0, 1, 2**32 - 1]), ids)
    assert device.to_host(held, torch.int64).tolist() == [0, 1, 2**32 - 1]


def test_kernels_sum_in_sixteen_bits_what_the_plain_emulator_sums_in_float32():
    wide, tall, full = TensorSpec((32, 512)), TensorSpec((512, 32)), TensorSpec((32, 32), DType.FLOAT32)
    inputs = (Value("x", wide), Value("w", tall))
    made = program(op("ttnn.matmul", "x", "w", spec=full, dtype=full.dtype, **HIFI4), inputs=inputs)
    x, w = torch.randn(32, 512).bfloat16().float(), torch.randn(512, 32).bfloat16().float()
    errors = []
    for device in (EmulatedDevice(), EmulatedDevice(as_kernels=True)):
        (y,) = device.load(made, {})(device.to_device(x, wide), device.to_device(w, tall))
        errors.append((y.data - x @ w).abs().mean())
    assert errors[0] < 1e-4
    assert 0.02 < errors[1] < 0.5


@pytest.mark.parametrize("asked", [(("op", "GELU"), ("param", 1.0)), (("op", "TANH"),)])
def test_an_activation_that_is_not_emulated_is_refused_also_in_a_program_configuration(asked):
    config = Config(
        "MatmulMultiCoreReuseMultiCast1DProgramConfig", (("fused_activation", Config("UnaryWithParam", asked)),)
    )
    square = TensorSpec((32, 32))
    inputs = (Value("x", square), Value("w", square))
    made = program(op("ttnn.linear", "x", "w", spec=square, program_config=config, **HIFI4), inputs=inputs)
    device = EmulatedDevice()
    zeros = device.to_device(torch.zeros(32, 32), square)
    with pytest.raises(EmulationError, match="is not emulated with the activation"):
        device.load(made, {})(zeros, zeros)


@pytest.mark.parametrize("large", [2.0**56, -(2.0**100), math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("operand", ["first", "second"])
def test_products_of_what_the_kernels_loops_cannot_align_are_pytorchs(large, operand):
    first, second = torch.randn(40, 64).bfloat16().float(), torch.randn(64, 100).bfloat16().float()
    how = engine.Arithmetic(2)
    assert not torch.equal(engine.product(first, second, how), first @ second)
    # In the last piece of rows or columns, and in the last tile.
    {"first": first, "second": second}[operand][-1, -1] = large
    torch.testing.assert_close(engine.product(first, second, how), first @ second, rtol=0, atol=0, equal_nan=True)


def test_kernels_without_numba_say_what_to_install(monkeypatch):
    engine._loops.cache_clear()
    monkeypatch.delitem(sys.modules, "ttscribe.compiler.operations.engine_loops", raising=False)
    monkeypatch.delattr("ttscribe.compiler.operations.engine_loops", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(DeviceUnavailable, match=r"needs Numba: install ttscribe with its extra 'emulator'"):
        engine.product(torch.ones(1, 32), torch.ones(32, 1), engine.Arithmetic(1))
    engine._loops.cache_clear()
