"""What each window of a recording is told before its text."""

import pytest

from ttscribe import DecodingOptions, OptionError
from ttscribe.decoding import Context, DecodedWindow, Outcome, TimedTokens


@pytest.fixture(scope="module")
def tokenizer(tiny_en):
    return tiny_en.tokenizer


@pytest.fixture
def context(tokenizer):
    def of(timestamps=True, **options):
        return Context(tokenizer, DecodingOptions(**options), "transcribe", 448, timestamps=timestamps)

    return of


def outcome(tokens, **settings):
    return Outcome(DecodedWindow(tuple(tokens), -0.1, 0.0), [TimedTokens(0.0, 1.0, tuple(tokens))], 3000, **settings)


def before(context, tokenizer):
    """The text before the start of the transcript, and whether it is marked as earlier."""
    prompt = context.prompt("en")
    tokens = prompt.tokens[: prompt.start]
    assert prompt.tokens[prompt.start] == tokenizer.sot
    assert tokens[:1] in ((), (tokenizer.start_of_prev,))
    return tokenizer.decode(tokens)


def test_by_default_nothing_is_told(context, tokenizer):
    told = context()
    assert told.prompt("en").tokens == tokenizer.prompt("en", timestamps=True)
    told.add(outcome(tokenizer.encode(" It was the best of times.")))
    assert before(told, tokenizer) == ""


def test_an_initial_prompt_is_told_to_the_first_window(context, tokenizer):
    told = context(initial_prompt="  Mr. Thornton of Helstone. ")
    assert before(told, tokenizer) == " Mr. Thornton of Helstone."
    told.add(outcome(tokenizer.encode(" It was.")))
    assert before(told, tokenizer) == ""


def test_hotwords_are_told_to_every_window_and_before_all_else(context, tokenizer):
    told = context(hotwords="Helstone", initial_prompt="Said Margaret.", condition_on_previous_text=True)
    assert before(told, tokenizer) == " Helstone Said Margaret."
    told.add(outcome(tokenizer.encode(" It was.")))
    assert before(told, tokenizer) == " Helstone Said Margaret. It was."


def test_an_initial_prompt_that_is_carried_is_told_to_every_window_before_earlier_text(context, tokenizer):
    told = context(initial_prompt="Mr. Thornton.", carry_initial_prompt=True, condition_on_previous_text=True)
    assert before(told, tokenizer) == " Mr. Thornton."
    told.add(outcome(tokenizer.encode(" It was.")))
    assert before(told, tokenizer) == " Mr. Thornton. It was."
    told.add(outcome(tokenizer.encode(" A guess."), is_context=False))
    assert before(told, tokenizer) == " Mr. Thornton."


def test_before_a_long_prompt_that_is_carried_nothing_else_fits(context, tokenizer, caplog):
    told = context(initial_prompt="one two three " * 100, carry_initial_prompt=True, condition_on_previous_text=True)
    assert "only the last 223 of 300 tokens are used" in caplog.text
    told.add(outcome(tokenizer.encode(" It was.")))
    assert before(told, tokenizer).endswith(" one two three")
    assert len(told.prompt("en").tokens) == 224 + len(tokenizer.prompt("en", timestamps=True))


def test_text_that_was_guessed_is_no_context(context, tokenizer):
    told = context(condition_on_previous_text=True)
    told.add(outcome(tokenizer.encode(" First.")))
    told.add(outcome(tokenizer.encode(" Second."), is_context=False))
    assert before(told, tokenizer) == ""
    told.add(outcome(tokenizer.encode(" Third.")))
    assert before(told, tokenizer) == " Third."


def test_text_in_another_language_is_no_context(base):
    tokenizer = base.tokenizer
    options = DecodingOptions(condition_on_previous_text=True, hotwords="Helstone")
    told = Context(tokenizer, options, "translate", 448, timestamps=False)
    assert told.prompt("fr").tokens[-4:] == tokenizer.prompt("fr", "translate", timestamps=False)
    told.add(outcome(tokenizer.encode(" It was.")))
    assert tokenizer.decode(told.prompt("fr").tokens) == " Helstone It was."
    german = told.prompt("de")
    assert tokenizer.decode(german.tokens) == " Helstone"
    assert german.tokens[german.start :] == tokenizer.prompt("de", "translate", timestamps=False)


def test_of_more_than_half_the_positions_the_end_is_told(context, tokenizer, caplog):
    told = context(condition_on_previous_text=True, hotwords="Helstone")
    for number in range(100, 400):
        told.add(outcome(tokenizer.encode(f" {number}")))
    text = before(told, tokenizer)
    assert text.startswith(" Helstone ")
    assert text.endswith(" 398 399")
    assert told.prompt("en").start == 224
    assert not caplog.records


def test_what_is_given_and_too_long_is_cut_with_one_line(context, tokenizer, caplog):
    text = " ".join(["one", *["ten"] * 298, "two"])
    told = context(initial_prompt=text)
    told.prompt("en")
    assert before(told, tokenizer) == " ten" * 222 + " two"
    assert before(context(hotwords=text), tokenizer) == " one" + " ten" * 222
    assert [record.getMessage() for record in caplog.records] == [
        "initial_prompt: only the last 223 of 300 tokens are used",
        "hotwords: only the first 223 of 300 tokens are used",
    ]


@pytest.mark.parametrize("timestamps", [True, False])
def test_a_prefix_begins_the_first_windows_text(context, tokenizer, timestamps):
    told = context(prefix="Ever tried", timestamps=timestamps)
    first = told.prompt("en")
    assert tokenizer.decode(first.given) == " Ever tried"
    assert first.tokens == (*tokenizer.prompt("en", timestamps=timestamps), *first.given)
    assert (first.given[0] == tokenizer.timestamp_begin) == timestamps
    told.add(outcome(tokenizer.encode(" It was.")))
    assert told.prompt("en").given == ()


def test_a_prefix_that_leaves_no_room_is_refused(context):
    with pytest.raises(OptionError, match="prefix has 113 tokens, and may have 112: make it shorter"):
        context(prefix=" ".join(["ten"] * 113))
