"""What a run does besides giving results: random draws, which are eager's of the same seed, and checks."""

import pytest
import torch
import torch.nn.functional as F

from backend.comparing import X, agree

DRAWS = {
    "exponential": lambda x: torch.empty(64).exponential_() * x[0, 0],
    "uniform": lambda x: torch.empty(64).uniform_() * x[0, 0],
    "normal": lambda x: torch.empty(64).normal_() * x[0, 0],
    "cauchy": lambda x: torch.empty(64).cauchy_() * x[0, 0],
    "geometric": lambda x: torch.empty(64).geometric_(0.1) * x[0, 0],
    "log normal": lambda x: torch.empty(64).log_normal_() * x[0, 0],
    "bernoulli": lambda x: torch.bernoulli(torch.full((64,), 0.5)) * x[0, 0],
    "bernoulli in place": lambda x: torch.empty(64).bernoulli_(0.5) * x[0, 0],
    "poisson of a constant": lambda x: torch.poisson(torch.full((64,), 5.0)) * x[0, 0],
    "poisson of an argument": lambda x: torch.poisson(x.abs() * 10),
    "gumbel softmax": F.gumbel_softmax,
    "randn like": lambda x: torch.randn_like(x) + x,
    "whole numbers": lambda x: torch.randint(0, 1000, (4, 8)) + x,
    "permutation": lambda x: torch.randperm(64) * x[0, 0],
    "multinomial": lambda x: torch.multinomial(torch.ones(100), 8) + x,
    "dropout": lambda x: F.dropout(x, 0.5, training=True),
    "alpha dropout": lambda x: F.alpha_dropout(x, 0.5, training=True),
    "attention with dropout": lambda x: F.scaled_dot_product_attention(*(x[None, None],) * 3, dropout_p=0.5),
}


def seeded(function, *arguments):
    torch.manual_seed(7)
    return function(*arguments)


@pytest.mark.parametrize("name", DRAWS)
def test_each_run_draws_anew_and_of_one_seed_what_eager_draws(compiled, name):
    ours = compiled(DRAWS[name])
    agree(seeded(ours, X), seeded(DRAWS[name], X))
    first, second = ours(X), ours(X)
    assert not torch.equal(first, second)


def test_draws_keep_their_order_where_host_and_device_take_turns(compiled):
    def drawing(x):
        late = torch.rand_like(torch.relu(x).cumsum(0))
        return late + x, torch.rand(4, 8) + x

    agree(seeded(compiled(drawing), X), seeded(drawing, X))


@pytest.mark.parametrize("function", [torch.linalg.inv, torch.linalg.cholesky, lambda x: torch.linalg.solve(x, X)])
def test_what_pytorch_checks_after_it_computed_stays_on_the_host(compiled, function):
    """AOTAutograd orders such checks by tokens, inputs of the graph that have no value."""
    weight = torch.nn.Parameter(torch.eye(4) * 2)

    def solved(x):
        return function(x @ x.T + weight) * 2

    agree(compiled(solved)(X), solved(X))
    with pytest.raises(torch.linalg.LinAlgError):
        compiled(function)(torch.zeros(4, 4))
    refused = [item.target for item in compiled.reports[0].fallbacks]
    assert "aten._linalg_check_errors.default" in refused


@pytest.mark.parametrize("function", [lambda x: x.relu() + 1, lambda x: (x @ x.T, x.sum(0)), lambda x: x.view(-1) * 2])
def test_tensors_of_no_elements_are_computed_on_the_host(compiled, function):
    empty = torch.empty(0, 8)
    agree(compiled(function, precision="bf16-hifi3")(empty), function(empty))
    assert "a tensor with no elements has no place on the device" in str(compiled.reports[0])


def checked(x):
    torch._assert(x.sum() > 0, "the sum is not above zero")
    return x + 1


def test_a_check_that_holds_changes_nothing(compiled):
    agree(compiled(checked)(X.abs()), X.abs() + 1)


def test_a_check_that_fails_is_an_error_though_nothing_reads_its_result(compiled):
    with pytest.raises(RuntimeError, match="the sum is not above zero"):
        compiled(checked)(-X.abs())
