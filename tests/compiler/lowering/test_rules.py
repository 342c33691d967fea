"""Every lowering rule against PyTorch."""

import warnings
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compiler.lowering import (
    cases_attention,
    cases_convolution,
    cases_lookup,
    cases_matmul,
    cases_movement,
    cases_normalisation,
    cases_pointwise,
    cases_reduction,
)
from compiler.lowering.cases import CASES
from compiler.lowering.drawing import FLOATS, INTEGERS, Draw
from compiler.lowering.one_node import check, is_lowered
from ttscribe.compiler.host import resolve
from ttscribe.compiler.lowering import FAMILIES as RULE_FAMILIES
from ttscribe.compiler.lowering import RULES
from ttscribe.compiler.lowering.builder import DEVICE_DTYPES
from ttscribe.compiler.operations import Family

FAMILIES = {
    family.__name__.removeprefix("compiler.lowering.cases_"): family
    for family in (
        *(cases_attention, cases_convolution, cases_lookup, cases_matmul, cases_movement, cases_normalisation),
        *(cases_pointwise, cases_reduction),
    )
}
SETTINGS = settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def test_every_rule_has_a_case_in_the_file_of_its_family():
    assert set(CASES) == set(RULES)
    for target, rule in RULES.items():
        family = rule.emit.func.__module__ if isinstance(rule.emit, partial) else rule.emit.__module__
        assert CASES[target].__module__ == f"compiler.lowering.cases_{family.rpartition('.')[2]}"


def test_rules_operations_and_cases_are_filed_under_the_same_families():
    rules = {module.__name__.rpartition(".")[2] for module in RULE_FAMILIES}
    assert rules == set(FAMILIES)
    assert rules < {family.value for family in Family}


@pytest.mark.parametrize("target", RULES)
def test_every_rule_is_for_something_that_pytorch_has(target):
    assert callable(resolve(target))


@pytest.mark.parametrize("target", CASES)
@SETTINGS
@given(data=st.data())
def test_rule_computes_what_pytorch_does(target, data):
    draw = Draw(data)
    target, drawn = _node(target), CASES[target](draw)
    known, on_device = draw.known(len(drawn.tensors)), draw.of(True, False)
    program = check(target, drawn, known, on_device)
    # Whole numbers of the host's, for the host, are left to it.
    if on_device or any(tensor.is_floating_point() for tensor in (*drawn.tensors, *drawn.run(target))):
        assert is_lowered(program)


def _node(target):
    return "aten.split.Tensor" if target == "operator.getitem" else target


@pytest.mark.parametrize("target", sorted(set(map(_node, CASES))))
@SETTINGS
@given(data=st.data())
def test_other_dtypes_are_computed_right_or_left_to_the_host(target, data):
    draw = Draw(data)
    dtypes = (*FLOATS, *INTEGERS, torch.int8, torch.uint8, torch.bool, torch.float16, torch.float64)
    drawn = CASES[target](draw).mapped(lambda tensor: tensor.to(draw.of(tensor.dtype, draw.of(*dtypes))))
    known, on_device = draw.known(len(drawn.tensors)), draw.of(True, False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            drawn.run(target)
            drawn.in_float32().run(target)
            drawn.mapped(lambda tensor: tensor.to("meta")).run(target)
        except (RuntimeError, IndexError, ValueError):
            assume(False)
        check(target, drawn, known, on_device and all(t.dtype in DEVICE_DTYPES for t in drawn.tensors))
