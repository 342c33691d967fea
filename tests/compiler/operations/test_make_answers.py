"""``answers.txt`` is what TT-NN itself says on a mock board."""

import importlib.util

import pytest

from compiler.operations.make_answers import ANSWERS, ENDED, answers_to, asked, file_of

# On a tensor whose memory was freed: TT-NN follows a pointer to nowhere.
ENDS = "ttnn.relu((lambda x: (ttnn.deallocate(x), x)[1])(T(5,64)))"


@pytest.fixture(scope="module", autouse=True)
def ttnn_is_installed():
    if importlib.util.find_spec("ttnn") is None:
        pytest.skip("the ttnn library is not installed: make env")


def test_ttnn_gives_every_answer_again_and_a_call_that_ends_the_process_costs_none():
    text = ANSWERS.read_text()
    calls = asked(text)
    middle = len(calls) // 2
    answers = answers_to([*calls[:middle], ENDS, *calls[middle:]])
    assert answers.pop(middle) == ENDED
    assert file_of(calls, answers) == text


def test_a_call_of_what_ttnn_does_not_have_is_a_mistake_and_no_refusal():
    with pytest.raises(RuntimeError, match=r"(?s)after 0 of 1 answers.*module 'ttnn' has no attribute 'nothing'"):
        answers_to(["ttnn.nothing(T(5,64))"])
