"""Every operation that TT-NN has a golden function for, exact, against it."""

import pytest
import torch

from ttscribe.compiler.operations import OPERATIONS, Family
from ttscribe.compiler.program import DType, Layout, Op, Ref

torch.manual_seed(0)
X, Y = torch.randn(3, 5, 50), torch.randn(3, 5, 50)
ROW, COLUMN = torch.randn(50), torch.randn(5, 1)
POSITIVE = X.abs() + 0.1
HEADS = torch.randn(2, 4, 9, 32)
KEYS, VALUES = torch.randn(2, 4, 9, 32), torch.randn(2, 4, 9, 32)
CACHE = torch.randn(2, 4, 64, 32)
IDS = torch.randint(0, 20, (2, 5))

POINTWISE = [each for each in OPERATIONS.values() if each.family is Family.POINTWISE]
OTHERWISE = {"ttnn.pow", "ttnn.where", "ttnn.clamp", "ttnn.leaky_relu", "ttnn.tril", "ttnn.triu"}
UNARY = [
    (each.name, (POSITIVE if "log" in each.name or "sqrt" in each.name else X,), {}, {})
    for each in POINTWISE
    if each.operands == (1, 1) and each.name not in OTHERWISE
]
BINARY = [
    (each.name, (X, second), {}, {})
    for each in POINTWISE
    if each.operands == (1, 2) and each.name not in OTHERWISE
    for second in (Y, ROW, COLUMN, X)
]
SCALAR = [
    (f"ttnn.{name}", (X,), {}, {"other": 0.5})
    for name in ("add", "subtract", "multiply", "divide", "rsub", "maximum", "lt", "ge", "eq")
]
REDUCTIONS = [
    (f"ttnn.{name}", (X,), {}, {"dim": dim, "keepdim": keepdim})
    for name in ("sum", "mean", "max", "min")
    for dim in (-1, 1, 0)
    for keepdim in (False, True)
]
CASES = [
    *UNARY,
    *BINARY,
    *SCALAR,
    *REDUCTIONS,
    ("ttnn.pow", (POSITIVE,), {}, {"other": 1.5}),
    ("ttnn.pow", (POSITIVE, Y), {}, {}),
    ("ttnn.clamp", (X,), {}, {"min": -0.5, "max": 0.5}),
    ("ttnn.clamp", (X,), {}, {"min": 0.0}),
    ("ttnn.leaky_relu", (X,), {}, {"negative_slope": 0.2}),
    ("ttnn.where", ((X > 0).float(), X, Y), {}, {}),
    ("ttnn.where", ((X > 0).float(), X), {}, {"false_value": -1.0}),
    ("ttnn.where", ((X > 0).float(), X), {}, {"true_value": -1.0}),
    ("ttnn.tril", (X,), {}, {"diagonal": 1}),
    ("ttnn.triu", (X,), {}, {"diagonal": -1}),
    ("ttnn.argmax", (X,), {}, {"dim": -1, "keepdim": False}),
    ("ttnn.argmax", (X,), {}, {"dim": 1, "keepdim": True}),
    ("ttnn.cumsum", (X,), {}, {"dim": 1}),
    ("ttnn.softmax", (X,), {}, {"dim": -1}),
    ("ttnn.softmax", (X,), {}, {"dim": 1}),
    ("ttnn.layer_norm", (X,), {"weight": ROW, "bias": ROW}, {"epsilon": 1e-5}),
    ("ttnn.layer_norm", (X,), {"residual_input_tensor": Y, "weight": ROW, "bias": ROW}, {"epsilon": 1e-5}),
    ("ttnn.rms_norm", (X,), {"weight": ROW}, {"epsilon": 1e-5}),
    ("ttnn.linear", (X, torch.randn(50, 33)), {"bias": torch.randn(33)}, {"activation": "relu"}),
    ("ttnn.linear", (X, torch.randn(33, 50)), {}, {"transpose_b": True, "activation": "silu"}),
    ("ttnn.matmul", (X, torch.randn(3, 50, 7)), {}, {}),
    ("ttnn.matmul", (X, torch.randn(3, 5, 7)), {}, {"transpose_a": True}),
    ("ttnn.embedding", (IDS, torch.randn(20, 50)), {}, {}),
    ("ttnn.reshape", (X,), {}, {"shape": (5, 150)}),
    ("ttnn.reshape", (X,), {}, {"shape": (-1, 10)}),
    ("ttnn.permute", (X,), {}, {"dims": (2, 0, 1)}),
    ("ttnn.transpose", (X,), {}, {"dim1": 0, "dim2": -1}),
    ("ttnn.slice", (X,), {}, {"slice_start": (0, 1, 3), "slice_end": (2, 4, 50)}),
    ("ttnn.slice", (X,), {}, {"slice_start": (0, 1, 3), "slice_end": (2, 4, 50), "slice_step": (1, 2, 3)}),
    ("ttnn.concat", (X, Y), {}, {"dim": 1}),
    ("ttnn.repeat", (X,), {}, {"shape": (1, 2, 3)}),
    ("ttnn.expand", (COLUMN,), {}, {"shape": (3, 5, 7)}),
    ("ttnn.pad", (X,), {}, {"padding": ((0, 1), (0, 2), (0, 3)), "value": 1.5}),
    ("ttnn.clone", (X,), {}, {}),
    ("ttnn.to_layout", (X,), {}, {"layout": Layout.ROW_MAJOR}),
    ("ttnn.to_memory_config", (X,), {}, {}),
    ("ttnn.scatter", (X, torch.randint(0, 50, (3, 5, 1)), Y[:, :, :1]), {}, {"dim": 2}),
    ("ttnn.gather", (X, torch.randint(0, 50, (3, 5, 7))), {}, {"dim": 2}),
    ("ttnn.transformer.scaled_dot_product_attention", (HEADS, KEYS, VALUES), {}, {"is_causal": True}),
    ("ttnn.transformer.scaled_dot_product_attention", (HEADS, KEYS, VALUES), {}, {"is_causal": False, "scale": 0.3}),
    (
        "ttnn.transformer.scaled_dot_product_attention",
        (HEADS, KEYS, VALUES),
        {"attn_mask": torch.randn(2, 1, 9, 9)},
        {"is_causal": False},
    ),
]


def golden(ttnn, target):
    function = ttnn
    for part in target.split(".")[1:]:
        function = getattr(function, part)
    return ttnn.get_golden_function(function)


def golden_arguments(target, tensors, keywords, attributes):
    """As TT-NN itself would be called."""
    names = {f"t{index}": tensor for index, tensor in enumerate(tensors)}
    given = Op(target, tuple(names), (), (), tuple(attributes.items()))
    positional, named = OPERATIONS[target].call(given)
    return [_filled(each, names) for each in positional], {**_filled(named, names), **keywords}


def _filled(value, names):
    if isinstance(value, Ref):
        return names[value.name]
    if isinstance(value, list):
        return [_filled(each, names) for each in value]
    return {name: _filled(each, names) for name, each in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(("target", "tensors", "keywords", "attributes"), CASES)
def test_exact_result_is_the_golden_one(ttnn, run, target, tensors, keywords, attributes):
    ours = run(target, *tensors, exact=True, keywords=keywords, **attributes)
    positional, named = golden_arguments(target, tensors, keywords, attributes)
    wanted = golden(ttnn, target)(*positional, **named)
    # Some golden functions work in bfloat16 or in another order of summation.
    torch.testing.assert_close(ours.float(), wanted.float().reshape(ours.shape), rtol=1e-4, atol=1e-5)


def test_decode_attention_is_the_golden_one(ttnn, run):
    target = "ttnn.transformer.scaled_dot_product_attention_decode"
    query, positions = torch.randn(1, 2, 8, 32), torch.tensor([5, 63])
    ours = run(target, query, CACHE, CACHE, exact=True, keywords={"cur_pos_tensor": positions})
    wanted = golden(ttnn, target)(query, CACHE, CACHE, cur_pos_tensor=positions)
    torch.testing.assert_close(ours, wanted.float(), rtol=1e-4, atol=1e-5)


def test_fill_cache_is_the_golden_one(ttnn, run, held):
    cache, new = held(CACHE), torch.randn(1, 4, 7, 32)
    run("ttnn.fill_cache", cache, new, exact=True, batch_idx=1)
    wanted = golden(ttnn, "ttnn.fill_cache")(CACHE.clone(), new, 1)
    assert torch.equal(cache.data, wanted)


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT32])
def test_typecast_is_the_golden_one(ttnn, run, dtype):
    wanted = golden(ttnn, "ttnn.typecast")(X * 10, getattr(ttnn, dtype.value))
    assert torch.equal(run("ttnn.typecast", X * 10, exact=True, dtype=dtype).to(wanted.dtype), wanted)
