"""Which words are committed, whatever is heard."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ttscribe.live.agreement import Agreement
from ttscribe.types import Word


def words(text, start=0.0):
    """A word every half second."""
    return [Word(start + at / 2, start + at / 2 + 0.4, f" {word}", 0.9) for at, word in enumerate(text.split())]


def text(committed):
    return "".join(word.text for word in committed).strip()


def test_what_two_hypotheses_begin_with_is_committed():
    agreement = Agreement()
    assert agreement.hear(words("It was the vest")) == []
    assert text(agreement.hear(words("it was the best of"))) == "it was the"
    assert text(agreement.pending) == "best of"
    assert text(agreement.hear(words("It was the best. Of times"))) == "best. Of"
    assert text(agreement.finish()) == "times"
    assert agreement.pending == []
    assert text(agreement.committed) == "it was the best. Of times"


def test_a_text_that_repeats_itself_is_followed_by_its_times():
    agreement = Agreement()
    agreement.hear(words("fail again fail again"))
    assert text(agreement.hear(words("fail again fail again fail"))) == "fail again fail again"
    assert text(agreement.hear(words("fail again fail again fail better"))) == "fail"
    assert text(agreement.finish()) == "better"


def test_committed_words_that_are_heard_otherwise_later_are_not_said_twice():
    agreement = Agreement()
    agreement.hear(words("it was the best of times"))
    agreement.hear(words("it was the best of times it"))
    of_the = [Word(2.0, 2.2, " of", 0.9), Word(2.2, 2.4, " the", 0.9)]
    agreement.hear([*words("it was a best"), *of_the, *words("times it was", start=2.5)])
    assert text(agreement.committed) == "it was the best of times it"
    assert text(agreement.pending) == "was"


def test_signs_alone_do_not_follow_committed_words():
    agreement = Agreement()
    agreement.hear(words("that is all"))
    agreement.hear(words("that is all"))
    agreement.hear(words("that is all . ..."))
    assert agreement.finish() == []


def test_after_a_cut_only_what_is_left_of_the_buffer_is_compared():
    agreement = Agreement()
    agreement.hear(words("it was the best of times"))
    agreement.hear(words("it was the best of times it was"))
    agreement.cut(agreement.committed[3].end)
    assert text(agreement.committed) == "of times"
    assert text(agreement.hear(words("of times it was the", start=2.0))) == "it was"


hypotheses = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "a.", "..."]), max_size=6).map(" ".join).map(words), max_size=6
)


@given(hypotheses)
def test_what_is_committed_is_only_added_to_and_is_in_order(heard):
    agreement = Agreement()
    told = []
    for each in heard:
        told += agreement.hear(each)
        assert told == agreement.committed
        assert told[:1] == [] or agreement.end == told[-1].end
    told += agreement.finish()
    assert all(word.start <= word.end for word in told)
    assert all(one.end <= other.start for one, other in pairwise(told))
