"""Steps of several threads, taken together: what each gets, who takes part, and what goes wrong."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ttscribe.decoding import Picks, Rules
from ttscribe.devices.cpu import kernels, packing
from ttscribe.devices.cpu.int8 import Int8Runner
from ttscribe.devices.joining import JoinedSteps
from ttscribe.devices.slots import SlotRunner


class Machine:
    """Gives each row the sum of its state, token and position; may be held, and keeps how many rows each step had."""

    def __init__(self, held=0):
        self.rows, self.begun, self.goes_on = [], threading.Event(), threading.Event()
        self._held = held

    def __call__(self, token, position, state):
        self.rows.append(len(state))
        self.begun.set()
        if len(self.rows) <= self._held:
            assert self.goes_on.wait(60)
        return (np.array(state) + token + position)[:, None]


def step(steps, *rows):
    """One step of a thread with these rows: what it gets, and what it should."""
    state = [100 * row for row in rows]
    tokens, positions = np.array(rows), np.array([7] * len(rows))
    return steps(tokens, positions, state)[:, 0].tolist(), [101 * row + 7 for row in rows]


def waiting(steps, count):
    """Return when so many steps wait."""
    with steps._changed:
        assert steps._changed.wait_for(lambda: len(steps._waiting) >= count, 60)


def rows_of_each(most, others):
    """How many rows each step had where ``others`` come while the first, of one row, is computed; each gets its own."""
    machine = Machine(held=1)
    steps = JoinedSteps(machine, most)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(step, steps, 1)
        assert machine.begun.wait(60)
        later = [pool.submit(step, steps, *rows) for rows in others]
        waiting(steps, len(others))
        machine.goes_on.set()
        for each in (first, *later):
            got, wanted = each.result(60)
            assert got == wanted
    return machine.rows


def test_steps_that_come_while_one_is_computed_are_computed_together():
    assert rows_of_each(32, [(2, 3), (4,), (5, 6, 7)]) == [1, 6]


def test_no_more_rows_go_together_than_may():
    assert rows_of_each(3, [(2, 2), (3, 3), (4, 4)]) == [1, 2, 2, 2]


def test_a_step_waits_for_those_of_others_who_are_decoding_but_not_for_long():
    machine = Machine()
    steps = JoinedSteps(machine, most=32)
    with steps.decoding(), steps.decoding():
        # The other one does not come.
        got, wanted = step(steps, 1)
        assert got == wanted
    assert machine.rows == [1]


def test_what_goes_wrong_is_raised_in_each_thread_and_the_next_step_is_taken():
    machine = Machine(held=1)

    def compute(*given):
        result = machine(*given)
        if len(machine.rows) == 2:
            raise ValueError("the second")
        return result

    steps = JoinedSteps(compute, most=32)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(step, steps, 1)
        assert machine.begun.wait(60)
        others = [pool.submit(step, steps, row) for row in (2, 3)]
        waiting(steps, 2)
        machine.goes_on.set()
        assert first.result(60)
        for each in others:
            with pytest.raises(ValueError, match="the second"):
                each.result(60)
    got, wanted = step(steps, 4)
    assert got == wanted


def test_an_interrupt_is_the_computing_threads_own_and_the_others_do_not_wait_for_ever():
    machine = Machine(held=1)

    def compute(*given):
        result = machine(*given)
        if len(machine.rows) == 1:
            raise KeyboardInterrupt
        return result

    steps = JoinedSteps(compute, most=32)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(step, steps, 1)
        assert machine.begun.wait(60)
        other = pool.submit(step, steps, 2)
        waiting(steps, 1)
        machine.goes_on.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(60)
        got, wanted = other.result(60)
        assert got == wanted


INT8 = pytest.mark.skipif(kernels.why_not() is not None, reason=f"no int8: {kernels.why_not()}")


@pytest.mark.parametrize("name", [pytest.param("int8", marks=INT8), "slots"])
@pytest.mark.xdist_group("int8")
def test_windows_of_several_threads_have_the_tokens_that_each_has_alone(tiny_en, windows, name):
    runner = SlotRunner(tiny_en.model) if name == "slots" else Int8Runner(packing.pack(tiny_en.model), tiny_en.config)
    steps = runner._screened_steps if name == "int8" else runner._steps
    rows, compute = [], steps._compute

    def counted(tokens, positions, state):
        rows.append(len(state))
        return compute(tokens, positions, state)

    steps._compute = counted
    prompt = tiny_en.tokenizer.prompt("en", "transcribe", timestamps=False)
    rules = Rules.of(tiny_en.suppress_tokens, tiny_en.begin_suppress_tokens, None)

    def decode(mel):
        state = runner.start(runner.encode(mel[None]))
        pick, logprob = rules.pick(runner.prefill(np.array([prompt]), state)[0, -1], [])
        picks = Picks([pick], [logprob])
        runner.greedy([picks], len(prompt), state, rules, limit=60, end=tiny_en.tokenizer.eot)
        return picks

    alone = [decode(mel) for mel in windows]
    assert max(rows) == 1
    with ThreadPoolExecutor() as pool:
        together = list(pool.map(decode, [*windows, *windows]))
    assert [picks.tokens for picks in together] == [picks.tokens for picks in [*alone, *alone]]
    # Probabilities too: rows of a step know nothing of each other. PyTorch's products are not the same to the last bit
    # for another number of rows; the kernels' are.
    near = 1e-3 if name == "slots" else 0
    for ours, own in zip(together, [*alone, *alone], strict=True):
        assert ours.logprobs == pytest.approx(own.logprobs, abs=near, rel=0)
    assert max(rows) > 1
