"""Which language is spoken, in several windows and from one to the next, on real weights and speech."""

import json

import numpy as np
import pytest

from hearing import audio, expected, text
from ttscribe import DecodingOptions, OptionError
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.transcription import Transcriber

pytestmark = pytest.mark.xdist_group("transcription, base")


@pytest.fixture(scope="module")
def multilingual(base):
    return Transcriber(base)


def joined(*names, apart):
    """Clips, each begun ``apart`` seconds after the one before, with silence between them."""
    samples = np.zeros(len(names) * apart * SAMPLE_RATE, np.float32)
    for index, name in enumerate(names):
        clip = audio(name)
        said = load_audio(clip.pop("audio"), **clip)
        samples[index * apart * SAMPLE_RATE :][: len(said)] = said
    return samples


def test_a_language_that_is_not_sure_is_listened_for_in_the_next_windows(multilingual):
    """Hindi that base takes for Spanish, with little certainty, and after it French."""
    samples = joined("hi-namaste_duniya", "fr-pangrama", apart=30)
    language, probability = expected("base", "hi-namaste_duniya").detected
    assert language == "es"
    assert probability < 0.5
    second = multilingual.detect_language(samples, sample_rate=SAMPLE_RATE, language_detection_segments=2)
    assert second.language == "fr"
    assert second.probability > 0.5
    assert [*second.probabilities] == sorted(second.probabilities, key=lambda code: -second.probabilities[code])
    assert sum(second.probabilities.values()) == pytest.approx(1)


def test_each_window_is_decoded_in_its_own_language(multilingual):
    names = ("fr-pangrama", "en-quick_brown_fox")
    samples = joined(*names, apart=10)
    options = {"sample_rate": SAMPLE_RATE, "multilingual": True, "word_timestamps": True, "temperature": 0.0}
    one_by_one, info = multilingual.transcribe(samples, vad_filter=True, **options)
    one_by_one = list(one_by_one)
    assert [segment.language for segment in one_by_one] == ["fr", "en"]
    assert (info.language, max(info.language_probabilities.values())) == ("fr", info.language_probability)
    for segment, name in zip(one_by_one, names, strict=True):
        # Of a longer recording, whose loudest place is another, words may differ.
        alone = multilingual.checkpoint.tokenizer.decode(expected("base", name).ids)
        assert segment.text.split()[:2] == alone.split()[:2]
        assert "".join(word.text for word in segment.words).strip() == segment.text
    together, _ = multilingual.transcribe(samples, batch_size=2, **options)
    assert [(each.language, each.text) for each in together] == [(each.language, each.text) for each in one_by_one]


def test_somebody_who_speaks_spanish_is_heard_as_hugging_face_hears_her(multilingual, speech):
    name = "ast-es-vm-instructions"
    lines = (speech / "golden_base.jsonl").read_text(encoding="utf-8").splitlines()
    (golden,) = [each for each in map(json.loads, lines) if name in each["file"]]
    options = DecodingOptions.plain()
    segments, info = multilingual.transcribe(speech / "audio" / f"{name}.flac", timestamps=False, options=options)
    assert info.language == golden["lang"]
    assert info.language_probability > 0.5
    assert text(segments) == golden["text"].strip()


def test_what_is_given_is_not_detected(multilingual):
    _, info = multilingual.transcribe(**audio("fr-bonjour_monde"), language="fr")
    assert info.language_probabilities == {}
    assert expected("base", "fr-bonjour_monde").detected[0] == "fr"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"multilingual": True, "language": "fr"}, "multilingual detects the language of every window: leave language"),
        ({"language_detection_segments": 0}, "language_detection_segments must be a whole number from 1, not 0"),
        ({"language_detection_threshold": 1.5}, "language_detection_threshold must be 0 to 1, not 1.5"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(multilingual, options, problem):
    with pytest.raises(OptionError, match=problem):
        multilingual.transcribe(**audio("fr-bonjour_monde"), **options)


def test_a_model_of_one_language_detects_none(tiny_en, beckett):
    english = Transcriber(tiny_en)
    problem = "tiny.en knows English only and detects no language; use a multilingual model"
    with pytest.raises(OptionError, match=problem):
        english.detect_language(beckett)
    with pytest.raises(OptionError, match=problem):
        english.transcribe(beckett, multilingual=True)
    segments, info = english.transcribe(beckett)
    assert (info.language, info.language_probabilities, next(segments).language) == ("en", {}, "en")
