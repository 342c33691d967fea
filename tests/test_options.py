"""Decoding options: what they are when nobody says, and what is refused."""

import pytest

from ttscribe import DecodingOptions, OptionError


def test_the_checks_are_those_of_the_reference_implementations():
    options = DecodingOptions()
    assert options.ladder == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    checks = (options.compression_ratio_threshold, options.log_prob_threshold, options.no_speech_threshold)
    assert checks == (2.4, -1.0, 0.6)
    assert (options.beam_size, options.best_of) == (1, 5)


def test_plain_tries_once_and_doubts_nothing():
    plain = DecodingOptions.plain()
    assert plain.ladder == (0.0,)
    assert {plain.compression_ratio_threshold, plain.log_prob_threshold, plain.no_speech_threshold} == {None}


def test_single_options_are_changed_by_name():
    assert DecodingOptions(beam_size=3).changed(temperature=0.5) == DecodingOptions(beam_size=3, temperature=(0.5,))


def test_options_may_be_keys():
    assert {DecodingOptions(temperature=[0.0, 1.0], suppress_tokens=[1]): 1}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"temperature": ()}, "temperature must have at least one value"),
        ({"temperature": 1.5}, "temperature must be 0 to 1, not 1.5"),
        ({"temperature": (0.4, 0.2)}, "temperatures must rise, not 0.4, 0.2"),
        ({"temperature": "0.2"}, "temperature must be 0 to 1, not '0'"),
        ({"beam_size": 0}, "beam_size must be a whole number from 1, not 0"),
        ({"beam_size": 2.5}, "beam_size must be a whole number from 1, not 2.5"),
        ({"best_of": 0}, "best_of must be a whole number from 1, not 0"),
        ({"patience": 0}, "patience must be above 0, not 0"),
        ({"beam_size": 2, "patience": 0.1}, "beams of 2 with patience 0.1 find no text"),
        ({"length_penalty": 2}, "length_penalty must be 0 to 1, not 2"),
        ({"repetition_penalty": None}, "repetition_penalty must be above 0, not None"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size must be a whole number from 0, not -1"),
        ({"compression_ratio_threshold": -2}, "compression_ratio_threshold must be above 0, not -2"),
        ({"log_prob_threshold": 0.5}, "log_prob_threshold is a logarithm, at most 0, not 0.5"),
        ({"no_speech_threshold": 60}, "no_speech_threshold must be 0 to 1, not 60"),
        ({"no_speech_threshold": float("nan")}, "no_speech_threshold must be 0 to 1, not nan"),
        ({"max_initial_timestamp": 31}, "max_initial_timestamp must be 0 to 30 s, not 31"),
        ({"suppress_tokens": [-2]}, "suppress_tokens are ids, or -1, not -2"),
        ({"beams": 5}, "no option is called 'beams'; there is temperature, compression"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_one_line(changes, problem):
    with pytest.raises(OptionError) as refused:
        DecodingOptions().changed(**changes)
    assert str(refused.value).startswith(problem)
    assert "\n" not in str(refused.value)
