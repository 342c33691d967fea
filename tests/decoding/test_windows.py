"""Guards: no text where nobody speaks, and what is really said again and again is kept."""

from dataclasses import dataclass

import numpy as np
import pytest

from decoding.stand_in_runner import StandIn
from hearing import audio, text, transcribed
from ttscribe import DecodingOptions
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.decoding import Prompt, Rules, WindowDecoder
from ttscribe.transcription import Transcriber

ENGLISH = pytest.mark.xdist_group("transcription, tiny.en")


@pytest.fixture(scope="module")
def english(tiny_en):
    return Transcriber(tiny_en)


def noise(seconds):
    return 0.01 * np.random.default_rng(1).standard_normal(seconds * SAMPLE_RATE)


def tones(seconds):
    """Another tone each half second, from A3 to A5."""
    times = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    pitches = np.random.default_rng(3).choice([220, 262, 330, 440, 523, 660, 880], 2 * seconds)
    return 0.2 * np.sin(2 * np.pi * np.outer(pitches, times)).ravel()


def hum(seconds):
    times = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    return 0.05 * sum(np.sin(2 * np.pi * 50 * n * times + n) / n for n in range(1, 9))


def silence(seconds):
    return np.zeros(seconds * SAMPLE_RATE)


def heard(transcriber, samples, **options):
    segments, _ = transcriber.transcribe(samples.astype(np.float32), sample_rate=SAMPLE_RATE, **options)
    return list(segments)


@ENGLISH
@pytest.mark.parametrize("sound", [silence, noise, tones, hum])
def test_where_nobody_speaks_nothing_is_written(english, sound):
    assert heard(english, sound(10)) == []


@ENGLISH
def test_without_guards_noise_becomes_text(english):
    """What the guards are for: the same again and again, of which the model is sure."""
    segments = heard(english, noise(30), options=DecodingOptions.plain())
    assert len(text(segments).split()) > 20
    assert segments[0].avg_logprob > -0.5
    assert segments[0].compression_ratio > 2.4


@pytest.fixture(scope="module")
def again_and_again():
    """2.9 s of speech, ten times."""
    clip = audio("en-quick_brown_fox")
    return np.tile(load_audio(clip.pop("audio"), **clip), 10)


@ENGLISH
def test_what_is_really_said_again_and_again_is_kept(english, again_and_again):
    plain = heard(english, again_and_again, options=DecodingOptions.plain())
    assert plain[0].compression_ratio > 2.4
    assert text(plain).lower().count("quick brown fox") >= 9
    guarded = heard(english, again_and_again)
    assert [segment.text for segment in guarded] == [segment.text for segment in plain]
    assert {segment.temperature for segment in guarded} == {0.0}


@ENGLISH
def test_a_detector_is_believed_about_doubted_text_only(english, again_and_again):
    """One that hears nothing does not take away speech that there is no reason to doubt."""
    assert heard(english, again_and_again, speech=lambda start, end: 0.0) == []
    sure, _ = transcribed(english, "en-quick_brown_fox", speech=lambda start, end: 0.0)
    assert "quick brown fox" in text(sure)


@ENGLISH
def test_sampled_text_is_the_same_when_run_twice(english):
    first, second, other = (
        transcribed(english, "en-quick_brown_fox", temperature=1.0, best_of=2, log_prob_threshold=None, seed=seed)[0]
        for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other
    assert first[0].temperature == 1.0


# A model that is known: 0-99 text, 100 the end, 101 no speech, 102 the start, 103 no times, 104-1604 times.
END, NO_SPEECH, START, BEGIN, VOCABULARY = 100, 101, 102, 104, 1605
STOP = 99  # of the text: a full stop
PROMPT = Prompt((START,), 0, END, NO_SPEECH)
RULES = Rules.of((NO_SPEECH, START), (), None)


class Alphabet:
    """A tokenizer whose text tokens are two letters each, but for STOP."""

    timestamp_begin = BEGIN

    def decode(self, tokens):
        letters = (
            f"{chr(97 + token // 10)}{chr(97 + token % 10)} " if token != STOP else "."
            for token in tokens
            if token < END
        )
        return "".join(letters)


@dataclass
class StandInWindow:
    """What a runner makes of it is the same whatever part is asked for; ``spoken`` are spans of speech in seconds."""

    runner: StandIn
    spoken: tuple[tuple[float, float], ...] = ((0.0, 30.0),)
    frames: int = 3000

    def start(self, first=0, last=None):
        return self.runner.start()

    def take_whole(self):
        return False

    def speech(self, start, end):
        return sum(max(0.0, min(end, stop) - max(start, begin)) for begin, stop in self.spoken)


def says(*tokens, no_speech=0.0):
    """Logits of a model that says ``tokens`` and then the end, whatever is heard."""

    def logits_of(before):
        logits = np.full(VOCABULARY, -20.0, np.float32)
        said = len(before) - 1
        logits[tokens[said] if said < len(tokens) else END] = 5.0
        if not said:
            share = np.clip(no_speech, 1e-6, 1 - 1e-6)
            logits[NO_SPEECH] = 5.0 + np.log(share / (1 - share))
        return logits

    return logits_of


def decoded(logits_of, spoken=((0.0, 30.0),), options=DecodingOptions(), timed=True):  # noqa: B008
    runner = StandIn(logits_of, positions=448)
    decoder = WindowDecoder(runner, Alphabet(), RULES, options, timestamps=timed)
    return decoder.decode(StandInWindow(runner, spoken), PROMPT, seed=0), runner


def spoken_of(outcome):
    return [segment.tokens for segment in outcome.segments]


PROSE = [BEGIN, *range(20), BEGIN + 500, BEGIN + 500, *range(20, 40), BEGIN + 1000]
LOOP = [BEGIN, 50, 51, *[7, 8, 9] * 140]


def test_a_loop_is_left_long_before_the_cache_ends_and_one_unit_of_it_stays():
    once = DecodingOptions(temperature=0.0)
    outcome, runner = decoded(says(*LOOP), options=once)
    assert spoken_of(outcome) == [(BEGIN, 50, 51, 7, 8, 9)]
    # It is looked at every 32 tokens, and decoded once more from the middle on.
    assert runner.steps < 300
    plain, _ = decoded(says(*LOOP), options=DecodingOptions.plain())
    assert len(plain.segments[0].tokens) == len(LOOP)


def test_a_loop_is_tried_again_until_it_is_none():
    """A model that loops, or with a logit 0.1 lower begins a text that does not."""

    def logits_of(before):
        if len(before) < 3:
            return np.maximum(says(*LOOP)(before), says(*PROSE)(before) - 0.1)
        return says(*(PROSE if before[2] == PROSE[1] else LOOP))(before)

    outcome, _ = decoded(logits_of, options=DecodingOptions(best_of=1))
    assert outcome.decoded.temperature > 0
    assert outcome.decoded.tokens == tuple(PROSE)
    assert outcome.is_context == (outcome.decoded.temperature <= 0.5)


def test_segments_without_speech_go_where_a_detector_hears_speech_elsewhere():
    outcome, _ = decoded(says(*PROSE), spoken=((0.0, 9.0),))
    assert spoken_of(outcome) == [(*PROSE[:22],)]
    assert outcome.advance == 3000
    assert len(decoded(says(*PROSE), spoken=((0.0, 9.5),))[0].segments) == 2


def test_a_segment_without_a_letter_is_none():
    says_little = says(BEGIN, STOP, BEGIN + 500, BEGIN + 500, 1, STOP, BEGIN + 1000)
    assert spoken_of(decoded(says_little)[0]) == [(BEGIN + 500, 1, STOP, BEGIN + 1000)]
    assert len(decoded(says_little, options=DecodingOptions.plain())[0].segments) == 2


def test_a_short_window_is_listened_to_as_it_is_decoded():
    """And not as a part of itself, whose features are others: nothing is there after its end, where it has silence."""
    asked = []

    @dataclass
    class Short(StandInWindow):
        def start(self, first=0, last=None):
            asked.append((first, last))
            return super().start()

        def speech(self, start, end):
            return None

    runner = StandIn(says(*PROSE, no_speech=0.9), positions=448)
    decoder = WindowDecoder(runner, Alphabet(), RULES, DecodingOptions(), timestamps=True)
    assert decoder.decode(Short(runner, frames=500), PROMPT, seed=0).segments == []
    assert asked == [(0, None)] * 2


def test_what_is_taken_for_silence_is_not_even_decoded():
    outcome, runner = decoded(says(*PROSE, no_speech=0.9), spoken=())
    assert (outcome.segments, outcome.advance, runner.steps) == ([], 3000, 0)
    assert len(decoded(says(*PROSE, no_speech=0.9))[0].segments) == 2
    assert len(decoded(says(*PROSE, no_speech=0.5), spoken=())[0].segments) == 2


def test_every_check_can_be_switched_off():
    off = DecodingOptions(no_speech_threshold=None)
    assert len(decoded(says(*PROSE, no_speech=0.9), spoken=(), options=off)[0].segments) == 2


def test_unsure_text_is_drawn_again_and_the_likeliest_try_kept():
    flat = np.zeros(VOCABULARY, np.float32)
    flat[END] = 4.0
    options = DecodingOptions(temperature=(0.0, 0.5, 1.0), best_of=1)
    outcome, _ = decoded(lambda before: flat, options=options)
    assert not outcome.is_context
    assert outcome.decoded.avg_logprob < -1
    assert outcome.decoded.temperature == 0.0
