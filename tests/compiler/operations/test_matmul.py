"""Matrix products: fidelity, rounding, padding, and the convolution."""

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from ttscribe.compiler.operations.rounding import rounded
from ttscribe.compiler.program import Config, DType, TensorSpec


def fidelity(name):
    return Config("ComputeKernelConfig", (("math_fidelity", name),))


def bf16(tensor):
    return tensor.bfloat16().float()


def parts(tensor, bits):
    """High and low part of bfloat16 values whose high part has ``bits`` mantissa bits, without bit operations."""
    mantissa, exponent = torch.frexp(tensor)
    step = 2.0 ** (bits + 1)
    high = torch.ldexp((mantissa * step).trunc() / step, exponent)
    return high, tensor - high


def test_passes_of_each_fidelity_multiply_what_the_matrix_engine_does(run):
    x, w = bf16(torch.randn(7, 40)), bf16(torch.randn(40, 9))
    (x_high, x_low), (w_high, w_low) = parts(x, 6), parts(w, 4)
    passes = {"LoFi": x_high @ w_high, "HiFi2": x_high @ w_low, "HiFi3": x_low @ w_high, "HiFi4": x_low @ w_low}
    wanted = torch.zeros(7, 9)
    results = []
    for name, more in passes.items():
        wanted = wanted + more
        given_dtype = {"compute_kernel_config": fidelity(name), "dtype": DType.FLOAT32}
        results.append(run("ttnn.linear", x, w, **given_dtype))
        torch.testing.assert_close(results[-1], wanted)
    errors = [(result - x @ w).abs().max() for result in results]
    assert errors[0] > errors[1] > errors[2] > errors[3]


def test_products_without_configuration_have_ttnn_defaults(run):
    x, w = torch.randn(7, 40), torch.randn(40, 9)
    default = run("ttnn.linear", x, w)
    with_grid = run("ttnn.linear", x, w, core_grid=Config("FullGrid", ()))
    assert torch.equal(default, run("ttnn.linear", x, w, compute_kernel_config=fidelity("HiFi2")))
    assert torch.equal(with_grid, run("ttnn.linear", x, w, compute_kernel_config=fidelity("LoFi")))


def test_a_product_is_rounded_once_to_its_dtype(run):
    x, w, b = torch.randn(7, 40), torch.randn(40, 9), torch.randn(9)
    ours = run("ttnn.linear", x, w, keywords={"bias": b}, compute_kernel_config=fidelity("HiFi4"))
    assert torch.equal(ours, bf16(F.linear(bf16(x), bf16(w).mT, bf16(b))))


def test_block_weights_share_exponents_along_rows(run):
    x, w = torch.randn(7, 40), torch.randn(40, 50) * torch.logspace(-3, 3, 50)
    specs = [TensorSpec((7, 40)), TensorSpec((40, 50), DType.BFLOAT8_B)]
    ours = run("ttnn.matmul", x, w, specs=specs, compute_kernel_config=fidelity("HiFi4"))
    assert torch.equal(ours, bf16(bf16(x) @ rounded(w, DType.BFLOAT8_B)))


def test_activation_is_fused_only_with_a_grid(run):
    x, w = torch.randn(7, 40), torch.randn(40, 9)
    config = {"compute_kernel_config": fidelity("HiFi4"), "activation": "gelu"}
    full = bf16(x) @ bf16(w)
    assert torch.equal(run("ttnn.linear", x, w, **config), bf16(F.gelu(bf16(full))))
    fused = run("ttnn.linear", x, w, core_grid=Config("FullGrid", ()), **config)
    assert torch.equal(fused, bf16(F.gelu(full)))


def test_exact_products_are_torch_products(run):
    @settings(max_examples=60, deadline=None)
    @given(
        sizes=st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70)),
        lead=st.sampled_from([(), (1,), (3,), (2, 3)]),
        transpose_a=st.booleans(),
        transpose_b=st.booleans(),
    )
    def check(sizes, lead, transpose_a, transpose_b):
        rows, inner, columns = sizes
        x, w = torch.randn(*lead, rows, inner), torch.randn(inner, columns)
        first = x.mT.contiguous() if transpose_a else x
        second = w.mT.contiguous() if transpose_b else w
        ours = run("ttnn.matmul", first, second, exact=True, transpose_a=transpose_a, transpose_b=transpose_b)
        torch.testing.assert_close(ours, x @ w)

    check()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, (2, 0)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("batch", [1, 3])
def test_exact_convolution_is_torchs(run, batch, stride, padding, groups):
    x, weight, bias = torch.randn(batch, 50, 20), torch.randn(30, 20 // groups, 3), torch.randn(1, 1, 1, 30)
    ours = run(
        "ttnn.conv1d",
        x,
        weight,
        exact=True,
        keywords={"bias_tensor": bias},
        in_channels=20,
        out_channels=30,
        batch_size=batch,
        input_length=50,
        kernel_size=3,
        stride=stride,
        padding=padding,
        groups=groups,
        conv_config=Config("Conv1dConfig", (("activation", Config("UnaryWithParam", (("op", "GELU"),))),)),
    )
    padded = F.pad(x.mT, padding) if isinstance(padding, tuple) else F.pad(x.mT, (padding, padding))
    wanted = F.gelu(F.conv1d(padded, weight, bias.flatten(), stride, groups=groups))
    torch.testing.assert_close(ours, wanted.mT.reshape(ours.shape))


def test_convolution_with_block_weights_shares_exponents_along_output_channels(run):
    x, weight = torch.randn(1, 10, 4), torch.randn(20, 4, 3) * torch.logspace(-3, 3, 20)[:, None, None]
    sizes = {"in_channels": 4, "out_channels": 20, "batch_size": 1, "input_length": 10, "kernel_size": 3}
    config = Config("Conv1dConfig", (("weights_dtype", DType.BFLOAT8_B),))
    ours = run("ttnn.conv1d", x, weight, conv_config=config, dtype=DType.FLOAT32, **sizes)
    matrix = rounded(bf16(weight).permute(2, 1, 0).reshape(12, 20), DType.BFLOAT8_B)
    windows = bf16(x)[0].unfold(0, 3, 1).permute(0, 2, 1).reshape(8, 12)
    torch.testing.assert_close(ours[0, 0], windows @ matrix)
