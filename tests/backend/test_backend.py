"""The backend "ttnn" of ``torch.compile``: its options, and that any module gives what it gives in eager mode."""

import copy
import gc
import json
import weakref
from collections import Counter

import pytest
import torch
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from backend.comparing import X, agree, check
from ttscribe.compiler.blocklist import Block, Blocklist
from ttscribe.compiler.program import Reason
from ttscribe.devices.emulator import EmulatedDevice
from ttscribe.errors import CompileError, DeviceUnavailable, FallbackRefused, OptionError


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 8)).eval()


def refused(function, *arguments) -> Exception:
    """The backend's own error, which the user sees in the text of ``torch.compile``'s."""
    with pytest.raises(BackendCompilerFailed) as caught:
        function(*arguments)
    assert str(caught.value.inner_exception) in str(caught.value)
    return caught.value.inner_exception


def test_an_unknown_option_names_those_that_there_are(compiled):
    error = refused(compiled(mlp(), precison="exact"), X)
    assert isinstance(error, OptionError)
    assert str(error) == (
        'backend "ttnn" has no option precison; there is device, strict, precision, blocklist, model, report'
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"precision": "fp8"}, "no precision is called 'fp8'; there is exact, bf16-hifi3"),
        ({"device": "tpu"}, "no device that runs programs is called 'tpu'; there is emulator"),
        ({"report": "yes"}, "option report is called with each CompileReport; 'yes' cannot be called"),
        ({"blocklist": "no/such/file.json"}, "blocklist no/such/file.json:"),
    ],
)
def test_an_options_impossible_value_is_named_before_anything_runs(compiled, option, message):
    assert message in str(refused(compiled(mlp(), **option), X))


def test_a_mock_board_is_refused_for_it_computes_nothing(compiled, monkeypatch):
    monkeypatch.setenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", "n150.yaml")
    error = refused(compiled(mlp(), device="ttnn:n150"), X)
    assert isinstance(error, DeviceUnavailable)
    assert str(error).startswith("TT_METAL_MOCK_CLUSTER_DESC_PATH is set: a mock board computes nothing")


def test_there_are_no_modes():
    torch._dynamo.reset()
    with torch.no_grad():
        error = refused(torch.compile(mlp(), backend="ttnn", mode="reduce-overhead"), X)
    assert isinstance(error, OptionError)


def test_training_is_refused_with_what_to_do(compiled):
    with torch.enable_grad():
        error = refused(compiled(mlp()), X)
    assert isinstance(error, CompileError)
    assert "torch.no_grad()" in str(error)


def test_strict_lists_what_would_stay_on_the_host(compiled):
    error = refused(compiled(lambda x: (x + 1).cumsum(0), strict=True), X)
    assert isinstance(error, FallbackRefused)
    assert "1 x aten.cumsum.default on the host (no_rule): no rule lowers aten.cumsum.default yet" in str(error)


def test_strict_accepts_what_is_lowered_whole(compiled):
    assert check(compiled, mlp(), X, strict=True).share == 1


@pytest.mark.parametrize("precision", ["bf16-hifi3", "bf16-hifi2", "bfp8-hifi3", "bfp8-hifi2"])
def test_every_precision_is_near_eager_and_not_exact(compiled, precision):
    module = mlp()
    ours, theirs = compiled(module, precision=precision)(X), module(X)
    assert not torch.equal(ours, theirs)
    torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("as_file", [True, False])
def test_a_blocked_operation_stays_on_the_host_for_the_given_reason(compiled, as_file, tmp_path):
    entry = {"op": "aten.gelu.*", "reason": "it is slow on this board"}
    blocklist = Blocklist((Block(**entry),))
    if as_file:
        blocklist = tmp_path / "blocklist.json"
        blocklist.write_text(json.dumps([entry]))
    report = check(compiled, mlp(), X, blocklist=blocklist)
    assert [(item.target, item.reason, item.sentence) for item in report.fallbacks] == [
        ("aten.gelu.default", Reason.BLOCKED, "it is slow on this board")
    ]


@pytest.mark.parametrize(("named", "blocked"), [({"model": "mlp"}, 1), ({"model": "cnn"}, 0), ({}, 0)])
def test_entries_for_certain_models_apply_to_the_model_of_that_name(compiled, named, blocked, tmp_path):
    path = tmp_path / "blocklist.json"
    path.write_text(json.dumps([{"op": "aten.gelu.*", "reason": "slow", "model": "ml*"}]))
    assert len(check(compiled, mlp(), X, blocklist=path, **named).fallbacks) == blocked


def test_the_name_that_a_blocklist_brings_stands_where_no_other_is_given(compiled):
    blocklist = Blocklist((Block("aten.gelu.*", "slow", model="mlp"),), "mlp")
    assert len(check(compiled, mlp(), X, blocklist=blocklist).fallbacks) == 1


def test_the_default_is_bfloat16_on_the_emulator_with_no_report():
    torch._dynamo.reset()
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(mlp(), backend="ttnn")(X), mlp()(X), rtol=0.1, atol=0.1)


def test_what_ran_is_what_the_report_declared(compiled):
    def mixed(x):
        chosen = torch.topk(x @ x.T, 2).values
        return torch.relu(chosen).cumsum(0), x.argsort(-1)

    report = check(compiled, mixed, X)
    on_host = {target: count for target, count in report.ledger.items() if not target.startswith("ttnn.")}
    assert on_host == Counter(fallback.target for fallback in report.fallbacks)
    moves = {"ttnn.from_torch", "ttnn.to_torch"}
    assert sum(report.ledger[target] for target in moves) == report.moves
    on_device = {target for target in report.ledger if target.startswith("ttnn.")} - moves - {"ttnn.deallocate"}
    assert sum(report.ledger[target] for target in on_device) == report.calls


def test_only_what_host_and_device_need_of_each_other_crosses(compiled):
    def alternating(x):
        return torch.relu(torch.relu(x * 2).cumsum(0) * 3), x.shape[0] + 1

    report = check(compiled, alternating, X)
    assert report.ledger["ttnn.from_torch"] == 2
    assert report.ledger["ttnn.to_torch"] == 2


def test_weights_changed_in_any_way_are_noticed(compiled):
    module = mlp()
    ours = compiled(module)
    first, last = module[0], module[-1]
    for change in (
        lambda: first.weight.add_(1),
        lambda: setattr(first, "weight", nn.Parameter(torch.ones_like(first.weight))),
        lambda: setattr(last.bias, "data", torch.ones_like(last.bias)),
        lambda: module.load_state_dict(mlp().state_dict()),
    ):
        before = module(X)
        agree(ours(X), before)
        change()
        assert not torch.equal(module(X), before)
        agree(ours(X), module(X))
    assert len(compiled.reports) == 1


def test_weights_made_in_inference_mode_are_noticed_too(compiled):
    with torch.inference_mode():
        module = mlp()
        ours = compiled(module)
        agree(ours(X), module(X))
        module[0].weight.mul_(2)
        agree(ours(X), module(X))


@pytest.fixture
def loads(monkeypatch):
    """How often weights were loaded, and what keeps each program alive."""
    found = []

    def load(self, program, params, original=EmulatedDevice.load):
        loaded = original(self, program, params)
        found.append(weakref.ref(loaded))
        return loaded

    monkeypatch.setattr(EmulatedDevice, "load", load)
    return found


def test_instances_that_share_a_graph_have_their_weights_loaded_once(compiled, loads):
    modules = [nn.Linear(8, 8) for _ in range(3)]
    ours = [compiled(module) for module in modules]
    for _ in range(3):
        for one, module in zip(ours, modules, strict=True):
            agree(one(X), module(X))
    assert len(loads) == 3


def test_weights_of_a_module_that_is_gone_are_let_go(compiled, loads):
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 8))

        def forward(self, x):
            return x @ self.weight

    function = compiled(lambda module, x: module(x))
    for _ in range(4):
        module = Product()
        agree(function(module, X), module(X))
        del module
        gc.collect()
    assert sum(loaded() is not None for loaded in loads) <= 2


class Counting(nn.Module):
    """Changes its own buffer, and its input."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        self.calls.add_(1)
        x[:, 2:4].mul_(3)
        return self.linear(x) * self.calls


def test_what_a_module_changes_in_place_is_changed(compiled):
    module = Counting().eval()
    reference, ours = copy.deepcopy(module), compiled(module)
    for _ in range(3):
        theirs, given = X.clone(), X.clone()
        agree(ours(given), reference(theirs))
        agree(given, theirs)
    assert module.calls.item() == 3


def test_inputs_that_share_memory_change_together(compiled):
    def shifted(x, rows):
        x.add_(1)
        return rows * 2

    ours, theirs = X.clone(), X.clone()
    agree(compiled(shifted)(ours, ours[1:]), shifted(theirs, theirs[1:]))
    agree(ours, theirs)


def test_results_are_the_callers_own(compiled):
    """A constant, a part of one taken on the host, a copy: writing to them changes no later result, and no other."""
    module = nn.Linear(8, 8)

    def constants(x):
        row = torch.arange(8.0)
        moved = x + 1
        return row, row[: x.shape[0]] * 1, module.weight * 2, module.weight.cumsum(0), moved, moved.clone()

    ours = compiled(constants, dynamic=True)
    for result in ours(X):
        result.fill_(7)
    agree(ours(X), constants(X))
    *_, one, other = ours(X)
    one.zero_()
    agree(other, X + 1)


def test_an_input_returned_as_it_is_is_that_input(compiled):
    same, turned, _ = compiled(lambda x: (x, x.T, x + 1))(X)
    assert same.data_ptr() == X.data_ptr() == turned.data_ptr()


def test_results_have_eagers_strides(compiled):
    """Code that views the result, after a graph break, works as before."""

    def heads(x):
        return (x * 2).view(4, 2, 4).transpose(0, 1), x.T * 3

    for ours, theirs in zip(compiled(heads)(X), heads(X), strict=True):
        assert ours.stride() == theirs.stride()
        assert ours.transpose(0, 1).view(-1).tolist() == pytest.approx(theirs.transpose(0, 1).view(-1).tolist())


def test_the_host_views_what_the_device_made_whatever_its_strides(compiled):
    check(compiled, lambda x: (x * 2).T.T.cumsum(0).T.T.view(2, 16), X)


def test_numbers_nothing_and_structures_pass_through(compiled):
    def assorted(x, count, nothing=None):
        return {"sum": x + count, "list": [count + 1, nothing, x.shape[0]], "text": "fixed", "shape": tuple(x.shape)}

    check(compiled, assorted, X, 3)


def test_numbers_that_change_are_no_constants(compiled):
    ours = compiled(lambda x, count: (x * count, count * 2))
    for count in (2, 3, 4, 5):
        agree(ours(X, count), (X * count, count * 2))


def test_host_and_device_values_of_one_rule_have_names_of_their_own(compiled):
    """FX numbers its nodes as a rule's calls are numbered: rsub is a call for each of its two steps."""
    check(compiled, lambda x, count: (1 - x, 1 - count), X, torch.tensor(3))
    assert len(compiled.reports) == 1


def test_single_numbers_beside_tensors_of_the_same_operation(compiled):
    check(compiled, lambda x: (x[0][1], x[1][1] * 2, x.max(), x[2]), X)


def test_numbers_read_out_of_a_tensor(compiled):
    with torch._dynamo.config.patch(capture_scalar_outputs=True):
        check(compiled, lambda x: (x.sum().item() * 2, x * x[1, 1].item(), x[0]), X)


def test_each_shape_has_its_own_program(compiled):
    module = mlp()
    ours = compiled(module, dynamic=False)
    for rows in (3, 4, 3, 4):
        agree(ours(X[:rows].repeat(1, 1)), module(X[:rows]))
    assert len(compiled.reports) == 2


def test_a_shape_that_varies_becomes_symbolic_and_runs_on_the_host(compiled):
    module = mlp()
    ours = compiled(module)
    for rows in (2, 3, 4, 2):
        agree(ours(X[:rows].clone()), module(X[:rows]))
    static, symbolic = compiled.reports
    assert static.share == 1
    assert {fallback.reason for fallback in symbolic.fallbacks} == {Reason.SYMBOLIC_SHAPE}


def test_whole_numbers_that_only_pass_through_keep_their_64_bits(compiled):
    wide = torch.tensor([[1 << 40, -5], [7, 1 << 62]])
    report = check(compiled, lambda x: (x.view(4), x.T + 1, x > 1 << 33, torch.cat([x, x]), x[0]), wide)
    assert report.lowered == 0


def test_indices_may_count_from_the_end(compiled):
    report = check(compiled, lambda table, ids: table[ids] * 2, X, torch.tensor([-1, 0, 3, -4]))
    assert report.share == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.complex64])
def test_element_types_are_kept(compiled, dtype):
    check(compiled, lambda x: (x * 2, x.T, x @ x.T), X[:2, :2].to(dtype))


def test_lengths_that_data_decides_are_found_on_the_host(compiled):
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        check(compiled, lambda x: (x.nonzero(), torch.relu(x)), X)


def test_empty_tensors_are_joined_for_nothing(compiled):
    report = check(compiled, lambda x: torch.cat([torch.empty(0), x * 2, x[:0]]) + 1, X)
    assert not report.fallbacks


def test_dropout_of_a_training_module_is_random(compiled):
    ones = torch.ones(64, 64)
    dropped = compiled(nn.Dropout(0.5))(ones)
    assert 0.3 < (dropped == 0).float().mean() < 0.7
    assert compiled.reports[0].share == 0


def test_a_computed_tensors_memory_is_as_pytorch_laid_it_out(compiled):
    check(compiled, lambda x: (x * 2).T.clone().as_strided((2, 2), (1, 8)), X)


def test_memory_around_a_part_of_a_computed_tensor_is_refused_and_not_guessed(compiled):
    error = refused(compiled(lambda x: (x * 2)[1:].as_strided((2, 2), (1, 8))), X)
    assert isinstance(error, CompileError)
    assert "as_strided.default of a part of a computed tensor: clone the part first" in str(error)


def test_control_flow_as_data_is_refused(compiled):
    def branch(x):
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))

    assert "write it in Python instead" in str(refused(compiled(branch), X))
