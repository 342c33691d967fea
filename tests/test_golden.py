"""Real speech, token for token as Hugging Face's transformers decodes it (float32, greedy).

Two sets: recordings that every clone has (tests/golden), and the reference clips beside the repository, if they are
there. By default a part of them; with TTSCRIBE_GOLDEN=all (make golden) each recording is decoded freely, step by step.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import jiwer
import pytest
import torch
from torch import Tensor
from whisper_normalizer.english import EnglishTextNormalizer

from golden.clips import Absent
from golden.errors import word_errors
from golden.expected import Expected, reference, travelling
from golden.tokens import MODELS
from oracle import suppressed
from places import SPEECH
from ttscribe import DecodingOptions
from ttscribe.audio import SAMPLE_RATE, load_audio, log_mel
from ttscribe.transcription import Transcriber
from ttscribe.types import Samples, Segment, TranscriptionInfo
from ttscribe.whisper.checkpoints import Checkpoint

EVERYTHING = os.environ.get("TTSCRIBE_GOLDEN") == "all"
# Of the reference clips up to 30 s, unless everything is asked for, each EVERY-th, and of those each FREE-th decoded
# freely; of the others it is asked only which token comes after each golden one.
EVERY = {"tiny.en": 7, "base": 16}
FREE = 4

# Corpus word error rates in per cent of the reference clips' golden transcripts, from the notes beside them.
PUBLISHED_WER = {
    ("tiny.en", "utt"): 12.15,
    ("base", "utt"): 9.59,
    ("tiny.en", "ls-other"): 16.86,
    ("base", "ls-other"): 12.87,
    ("tiny.en", "lj"): 7.22,
    ("base", "lj"): 6.32,
    ("tiny.en", "long"): 7.60,
    ("base", "long"): 7.84,
}


def part_of_reference(model: str) -> tuple[list[Expected], list[Expected]]:
    """What to decode freely, and what to force."""
    if EVERYTHING:
        return reference(model), []
    short = [each for each in reference(model) if not each.long][:: EVERY[model]]
    return short[::FREE], [each for number, each in enumerate(short) if number % FREE]


def part_of_travelling(model: str) -> list[Expected]:
    """English, by base a single long recording: test_transcription.py hears other languages, and translates."""

    def belongs(each: Expected) -> bool:
        return each.language == "en" and (model == "tiny.en" or not each.long or each.name == "two_cities")

    return [each for each in travelling(model) if EVERYTHING or belongs(each)]


def cases(group: str, expected: Iterable[Expected], without: str) -> list:
    """Parameters, for one worker of each model; where there are none, one that is skipped and says ``without``."""
    made = [
        pytest.param(each, id=str(each), marks=pytest.mark.xdist_group(f"{group}, {each.model}")) for each in expected
    ]
    return made or [pytest.param(None, id="none", marks=pytest.mark.skip(without))]


HERE = [each for model in MODELS for each in part_of_travelling(model)]
FREE_AND_FORCED = [part_of_reference(model) for model in MODELS]
NO_REFERENCE = "the reference clips (../shared/speech) are not here"
ALL_FREE = NO_REFERENCE if not SPEECH.is_dir() else "with TTSCRIBE_GOLDEN=all every clip is decoded freely"

TRAVELLING = cases("travelling", HERE, "")
LONG = cases("travelling", [each for each in HERE if each.long], "")
FREELY = cases("reference", [each for free, _ in FREE_AND_FORCED for each in free], NO_REFERENCE)
FORCED = cases("reference", [each for _, forced in FREE_AND_FORCED for each in forced], ALL_FREE)


def by_model(group: str) -> list:
    return [pytest.param(model, marks=pytest.mark.xdist_group(f"{group}, {model}")) for model in MODELS]


class Listener:
    """A model that hears each recording once."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.transcriber = Transcriber(checkpoint)
        self.heard: dict[str, tuple[list[Segment], TranscriptionInfo]] = {}

    def hear(self, expected: Expected) -> tuple[list[Segment], TranscriptionInfo]:
        if str(expected) not in self.heard:
            audio = present(expected)
            segments, info = self.transcriber.transcribe(
                audio,
                sample_rate=None if isinstance(audio, Path) else SAMPLE_RATE,
                language=expected.language,
                task=expected.task,
                timestamps=expected.long,
                options=DecodingOptions.plain(),
            )
            self.heard[str(expected)] = list(segments), info
        return self.heard[str(expected)]

    def text(self, expected: Expected) -> str:
        return " ".join(segment.text for segment in self.hear(expected)[0])

    def words(self, tokens: Iterable[int]) -> list[int]:
        """Tokens of text: no special ones, no times."""
        return [token for token in tokens if token < self.checkpoint.tokenizer.eot]

    def forced(self, expected: Expected) -> tuple[list[int], Tensor]:
        """The likeliest token after the prompt and after each golden one, and by how much it is ahead of the next.

        Straight from the model: of decoding's rules only suppression is applied, and not by them.
        """
        model, tokenizer = self.checkpoint.model, self.checkpoint.tokenizer
        prompt = tokenizer.prompt(expected.language, expected.task, timestamps=False)
        mel = torch.from_numpy(log_mel(load_audio(present(expected)), self.checkpoint.config.num_mel_bins))
        with torch.inference_mode():
            state = model.new_state(model.cross_kv(model.encode(mel[None])))
            logits = model.prefill(torch.tensor([[*prompt, *expected.ids]]), state)[0, len(prompt) - 1 :]
        best = suppressed(logits, self.checkpoint).topk(2)
        return best.indices[:, 0].tolist(), best.values[:, 0] - best.values[:, 1]


def present(expected: Expected) -> Path | Samples:
    try:
        return expected.audio()
    except Absent as error:
        pytest.skip(f"{expected.name}: {error}")


def is_present(expected: Expected) -> bool:
    try:
        expected.audio()
    except Absent:
        return False
    return True


@pytest.fixture(scope="module")
def listener(request):
    """Makes or finds the listener of a model."""
    made: dict[str, Listener] = {}

    def of(model: str) -> Listener:
        if model not in made:
            made[model] = Listener(request.getfixturevalue(model.replace(".", "_")))
        return made[model]

    return of


def assert_golden(listener: Listener, expected: Expected) -> None:
    segments, _ = listener.hear(expected)
    tokens = [token for segment in segments for token in segment.tokens]
    assert listener.words(tokens) == listener.words(expected.ids), listener.text(expected)


@pytest.mark.parametrize("expected", TRAVELLING)
def test_a_recording_of_every_clone_gives_the_golden_tokens(listener, expected):
    assert_golden(listener(expected.model), expected)


@pytest.mark.parametrize("expected", LONG)
def test_a_long_recording_of_every_clone_gives_the_golden_segments(listener, expected):
    """Hugging Face's last segment may end after the recording; ours ends with it."""
    segments, info = listener(expected.model).hear(expected)
    words = listener(expected.model).words
    found = [(segment.start, segment.end, len(words(segment.tokens))) for segment in segments]
    assert found == [(start, min(end, round(info.duration, 3)), count) for start, end, count in expected.times]


@pytest.mark.parametrize("model", by_model("travelling"))
@pytest.mark.parametrize("kind", ["read", "long"])
def test_word_errors_of_every_clones_recordings_are_hugging_faces(listener, model, kind):
    judged = [each for each in part_of_travelling(model) if each.kind == kind and each.errors and is_present(each)]
    assert judged
    errors = [word_errors(each.said, listener(model).text(each)) for each in judged]
    assert [sum(column) for column in zip(*errors, strict=True)] == [
        sum(column) for column in zip(*[each.errors for each in judged], strict=True)
    ]


@pytest.mark.parametrize("expected", FREELY)
def test_a_reference_clip_decoded_freely_gives_the_golden_tokens(listener, expected):
    assert_golden(listener(expected.model), expected)


@pytest.mark.parametrize("expected", FORCED)
def test_each_golden_token_of_a_reference_clip_is_the_likeliest_after_those_before_it(listener, expected):
    """Teacher-forced: nothing is decoded, and no text comes of it."""
    likeliest, ahead = listener(expected.model).forced(expected)
    eot = listener(expected.model).checkpoint.tokenizer.eot
    assert likeliest == [*expected.ids, eot], f"nearest tie: {ahead.min()}"


@pytest.mark.parametrize("model", by_model("reference"))
@pytest.mark.parametrize("part", ["utt", "ls-other", "lj", "long"])
def test_corpus_word_error_rate_of_the_reference_clips_is_the_published_one(listener, speech, model, part):
    if not EVERYTHING:
        pytest.skip("a rate over the corpus takes every clip of it: make golden")

    def belongs(each: Expected) -> bool:
        return each.kind == part if part in ("utt", "long") else each.kind == "utt" and each.name.startswith(f"{part}-")

    normalise = EnglishTextNormalizer()
    chosen = [each for each in reference(model) if belongs(each)]
    rate = jiwer.wer(
        [normalise(each.said) for each in chosen], [normalise(listener(model).text(each)) for each in chosen]
    )
    assert 100 * rate == pytest.approx(PUBLISHED_WER[model, part], abs=0.1)
