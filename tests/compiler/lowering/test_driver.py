"""Whole graphs: what is constant, what crosses to the host, and state that is written when the call ends."""

import pytest
import torch
from torch import nn

from compiler.building import close
from ttscribe.compiler.capture.export import capture_method
from ttscribe.compiler.lowering import lower
from ttscribe.compiler.passes import stages
from ttscribe.compiler.program import HostSegment, TensorSpec
from ttscribe.compiler.settings import CompileSettings, policy
from ttscribe.compiler.verify import verify
from ttscribe.devices.emulator import EmulatedDevice


class Method(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.register_buffer("scale", torch.linspace(1, 2, 8))
        self.linear = nn.Linear(8, 8)

    def forward(self, *arguments):
        return self.function(self, *arguments)


def check(function, *arguments, on_device=True):
    """Capture ``function(module, *arguments)``, and compare every stage with it; gives the lowered program."""
    module = Method(function).requires_grad_(requires_grad=False)
    names = [f"x{index}" for index in range(len(arguments))]
    given = dict(zip(names, (each.clone() for each in arguments), strict=True))
    captured = capture_method("small", module, module.forward, given, on_device=on_device)
    after = [each.clone() for each in arguments]
    wanted = module(*after)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    lowered = lower(captured)
    for _, program in stages(lowered, CompileSettings(policy("exact"))):
        verify(program)
        results, changed = run(program, captured.params, arguments)
        assert len(results) == len(wanted)
        for result, like in zip([*results, *changed], [*wanted, *after], strict=True):
            close(result, like)
    return lowered


def run(program, params, arguments):
    device = EmulatedDevice(exact=True)
    pairs = zip(arguments, program.inputs, strict=True)
    inputs = [device.to_device(each, v.spec) if isinstance(v.spec, TensorSpec) else each.clone() for each, v in pairs]
    results = device.load(program, {value.name: params[value.name] for value in program.params})(*inputs)
    return [[getattr(each, "data", each) for each in group] for group in (results, inputs)]


X, Y, IDS = torch.linspace(-1, 1, 40).view(5, 8), torch.linspace(2, 3, 40).view(5, 8), torch.arange(5)
PLACES = pytest.mark.parametrize("on_device", [True, False])


@PLACES
def test_what_an_input_was_can_be_returned(on_device):
    def function(_, x):
        before = x.clone()
        x.add_(1)
        return before

    check(function, X, on_device=on_device)


@PLACES
def test_inputs_can_change_places(on_device):
    def function(_, x, y):
        before = x.clone()
        x.copy_(y)
        y.copy_(before)
        return x + y

    check(function, X, Y, on_device=on_device)


@PLACES
@pytest.mark.parametrize("shape", [(1, 5, 8), (5, 1, 8), (40,)])
def test_a_view_of_what_an_input_was_can_be_returned(on_device, shape):
    def function(_, x):
        before = x.clone().view(shape)
        x.mul_(2)
        return before

    check(function, X, on_device=on_device)


@PLACES
def test_a_view_of_what_an_input_was_can_become_state(on_device):
    def function(_, x, y):
        y.copy_(x.view(1, 5, 8))
        x.mul_(2)
        return y * 1

    check(function, X, Y.view(1, 5, 8), on_device=on_device)


@PLACES
def test_an_input_that_changes_is_returned_changed(on_device):
    check(lambda _, x: x.add_(1), X, on_device=on_device)


@PLACES
def test_an_input_can_be_returned_as_it_is(on_device):
    check(lambda _, x: (x, x.view(1, 5, 8), x * 2), X, on_device=on_device)


def test_what_depends_on_no_input_is_computed_at_load():
    program = check(lambda m, x: x * (m.scale.exp() + torch.arange(8)).view(1, 8), X)
    assert [op.target for op in program.ops] == ["ttnn.multiply"]
    assert [value.name for value in program.params] == ["scale"]


def test_a_result_that_depends_on_no_input():
    check(lambda m, x: (m.scale * 2, x * 1), X, on_device=False)


def test_weights_that_nothing_reads_are_no_params():
    assert check(lambda _, x: x * 2, X).params == ()


def test_a_number_among_the_results():
    check(lambda _, x: (x * 2, x.clone()), X, on_device=False)


def test_the_host_and_the_device_take_turns():
    def function(m, x):
        return m.linear(torch.cumsum(torch.relu(m.linear(torch.cumsum(torch.tanh(x), 1))), 1))

    program = check(function, X, on_device=False)
    assert len(program.host_segments) == 2
    assert [op.target for op in program.ops].count("ttnn.to_torch") == 3


def test_neighbours_on_the_host_are_one_segment():
    program = check(lambda _, x: torch.relu(x.cumsum(0).cumsum(1) * 2).cumsum(0) + x.cumsum(1), X)
    segments = [step for step in program.body if isinstance(step, HostSegment)]
    assert [len(segment.ops) for segment in segments] == [3, 1]


def test_each_value_crosses_once():
    def function(m, x):
        far = x.cumsum(0)
        return m.linear(far) + torch.relu(far) + far.cumsum(1)

    program = check(function, X)
    crossing = [op.target for op in program.ops if "torch" in op.target]
    assert sorted(crossing) == ["ttnn.from_torch", "ttnn.from_torch", "ttnn.to_torch"]


@pytest.mark.parametrize(
    "function",
    [
        lambda _, x, ids: torch.cat([ids, x.argmax(-1)]),
        lambda _, x, ids: torch.stack([x.argmax(-1), ids]),
        lambda _, x, ids: (x.argmax(-1) == ids) & (ids <= x.argmax(-1)),
        lambda _, x, ids: x.argmax(-1) - 9,
        lambda _, x, ids: nn.functional.embedding(x.argmax(-1) // 2, x) + ids.view(5, 1),
        lambda _, x, ids: torch.where(ids[:, None] > 2, x, 0.0),
        lambda m, x, ids: x.masked_fill((ids[:, None] == 3) & (m.scale > 1.5), float("-inf")).softmax(-1),
        lambda _, x, ids: ((x > 0) | (ids > 3)[:, None]).to(torch.float32) * x,
        lambda _, x, ids: torch.cat([x > 0, (ids > 2)[:, None]], 1),
    ],
)
@PLACES
def test_whole_numbers_and_booleans_meet(function, on_device):
    check(function, X, IDS, on_device=on_device)


@PLACES
def test_a_token_that_is_picked_becomes_state(on_device):
    def function(_, x, ids):
        token = (x + nn.functional.embedding(ids, x)).argmax(-1)
        ids.copy_(token)
        return token

    check(function, X, IDS, on_device=on_device)
