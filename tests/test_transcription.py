"""``load_model`` and ``Transcriber`` as callers see them: real weights, recordings that every clone has."""

import io
import wave
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise, zip_longest

import numpy as np
import pytest
import torch

import ttscribe
from golden.clips import clips
from golden.errors import word_errors
from golden.make import HuggingFace
from hearing import audio, expected, text, transcribed, words
from oracle import suppressed
from ttscribe import DecodingOptions
from ttscribe.audio import SAMPLE_RATE, load_audio
from ttscribe.errors import AudioNotFound, InvalidSamples, LanguageUnsupported, ModelError, OptionError
from ttscribe.transcription import Transcriber
from ttscribe.whisper.config import SIZES, WhisperConfig
from ttscribe.whisper.model import random_model

ENGLISH = pytest.mark.xdist_group("transcription, tiny.en")
MULTILINGUAL = pytest.mark.xdist_group("transcription, base")

# What is said in joined-english, and from when to when in seconds: the manifest has its recipe.
SAID = (
    ("ever tried", 0.0, 9.96),
    ("quick brown fox", 12.96, 15.85),
    ("10", 20.85, 23.84),
    ("ever tried", 37.84, 47.8),
    ("world", 50.3, 51.44),
)


@pytest.fixture(scope="module")
def english(tiny_en):
    return Transcriber(tiny_en)


@pytest.fixture(scope="module")
def multilingual(base):
    return Transcriber(base)


@pytest.fixture(scope="module")
def two_cities_heard(english, two_cities):
    """44 s, with the progress that was told."""
    told = []
    segments, info = english.transcribe(two_cities, progress=told.append)
    assert told == []
    return list(segments), info, told


@pytest.fixture(scope="module")
def joined(english):
    """Five utterances at known times, with silences of up to 14 s between them."""
    return transcribed(english, "joined-english")


@pytest.fixture(scope="module", params=["two_cities_heard", "joined"])
def long(request):
    return request.getfixturevalue(request.param)[:2]


@ENGLISH
def test_times_are_in_order_and_within_the_recording(long):
    segments, info = long
    assert info.duration > 30
    times = [(segment.start, segment.end) for segment in segments]
    assert times == sorted(times)
    assert all(0 <= start <= end <= round(info.duration, 3) for start, end in times)
    assert all(end <= after for (_, end), (after, _) in pairwise(times))


@ENGLISH
def test_segments_are_numbered_and_say_what_their_tokens_say(english, long):
    segments, _ = long
    assert [segment.id for segment in segments] == list(range(len(segments)))
    decode = english.checkpoint.tokenizer.decode
    assert [segment.text for segment in segments] == [decode(segment.tokens).strip() for segment in segments]
    assert all(segment.text for segment in segments)


@ENGLISH
@pytest.mark.parametrize(("phrase", "start", "end"), SAID)
def test_what_is_said_is_heard_when_it_is_said(joined, phrase, start, end):
    segments, _ = joined
    meanwhile = [segment.text.lower() for segment in segments if segment.start < end and segment.end > start]
    assert phrase in " ".join(meanwhile)


@ENGLISH
def test_segments_after_silence_begin_with_the_speech(joined):
    """Where the window began before the silence: to a second, which is what Whisper's times are good for."""
    starts = [segment.start for segment in joined[0]]
    assert [min(starts, key=lambda found: abs(found - start)) for _, start, _ in SAID[:3]] == pytest.approx(
        [start for _, start, _ in SAID[:3]], abs=1
    )


@ENGLISH
def test_the_info_tells_what_was_used(two_cities_heard, two_cities):
    _, info, _ = two_cities_heard
    seconds = len(load_audio(two_cities)) / SAMPLE_RATE
    assert info == ttscribe.TranscriptionInfo("tiny.en", "cpu", "float32", "transcribe", "en", 1.0, seconds)


@ENGLISH
def test_progress_is_told_after_each_window_and_ends_with_the_recording(two_cities_heard):
    segments, info, told = two_cities_heard
    assert {each.total for each in told} == {info.duration}
    first, last = (each.done for each in told)
    # The second window begins where the last whole segment of the first ended.
    assert first in {segment.end for segment in segments}
    assert last == pytest.approx(info.duration, abs=0.01)


@ENGLISH
def test_a_window_is_decoded_only_when_its_segments_are_taken(english, two_cities_heard, two_cities):
    told = []
    segments, _ = english.transcribe(two_cities, progress=told.append)
    assert next(segments) == two_cities_heard[0][0]
    assert told == []


@ENGLISH
def test_two_recordings_may_be_read_in_turns(english):
    names = ("beckett", "en-counting")
    alone = [transcribed(english, name)[0] for name in names]
    turns = zip_longest(*[english.transcribe(**audio(name)).segments for name in names])
    assert [[each for each in one if each] for one in zip(*turns, strict=True)] == alone


@ENGLISH
def test_without_timestamps_each_window_is_a_segment(english, two_cities):
    segments, info = english.transcribe(two_cities, timestamps=False)
    segments = list(segments)
    first, second = ((segment.start, segment.end) for segment in segments)
    assert first == (0, 30)
    # A frame takes 10 ms, and what is left of one at the end is not heard.
    assert second == pytest.approx((30, info.duration), abs=0.01)
    eot = english.checkpoint.tokenizer.eot
    assert all(token < eot for segment in segments for token in segment.tokens)
    wrong, said = word_errors(clips()["two_cities"].text, text(segments))
    assert wrong / said < 0.1


@ENGLISH
def test_silence_is_known_for_what_it_is(english):
    """Where nothing is doubted the text is what the model makes of it; its doubts are told beside."""
    (silence, *_), _ = transcribed(english, "silence", options=DecodingOptions.plain())
    (speech, *_), _ = transcribed(english, "en-quick_brown_fox")
    assert silence.no_speech_prob > 0.9
    assert speech.no_speech_prob < 0.5
    assert silence.avg_logprob < speech.avg_logprob < 0


@ENGLISH
def test_probabilities_are_hugging_faces(english):
    """The mean log probability of the text's tokens and the end; of no speech, that after the start of transcript."""
    checkpoint, clip = english.checkpoint, clips()["beckett"]
    (segment,), _ = transcribed(english, "beckett", timestamps=False)
    tokenizer, oracle = checkpoint.tokenizer, HuggingFace(checkpoint)
    prompt = tokenizer.prompt("en", timestamps=False)
    with torch.inference_mode():
        given = torch.tensor([[*prompt, *segment.tokens]])
        logits = oracle.model(oracle.window(clip), decoder_input_ids=given).logits[0]
    assert segment.no_speech_prob == pytest.approx(logits[0].softmax(0)[tokenizer.no_speech].item(), rel=1e-3)
    allowed = suppressed(logits[len(prompt) - 1 :], checkpoint)
    picked = allowed.log_softmax(1).gather(1, torch.tensor([[*segment.tokens, tokenizer.eot]]).T)
    assert segment.avg_logprob == pytest.approx(picked.mean().item(), rel=1e-3)


@pytest.fixture
def babbler(tiny_en):
    """tiny.en's vocabulary over a small model with random weights, which never ends a text."""
    sides = [f"{side}_{what}" for side in ("encoder", "decoder") for what in ("layers", "attention_heads")]
    config = replace(WhisperConfig.named("tiny.en"), d_model=64, **dict.fromkeys(sides, 1))
    return replace(tiny_en, config=config, build=cache(partial(random_model, config)))


@ENGLISH
def test_a_text_that_does_not_end_stops_at_the_end_of_the_cache(babbler, beckett):
    (segment,), _ = transcribed(Transcriber(babbler), "beckett", timestamps=False, options=DecodingOptions.plain())
    prompt = babbler.tokenizer.prompt("en", timestamps=False)
    assert len(segment.tokens) == 448 - len(prompt)


@ENGLISH
def test_weights_that_give_no_numbers_are_an_error(babbler, beckett):
    babbler.model.decoder.layer_norm.weight.data.fill_(torch.nan)
    segments, _ = Transcriber(babbler).transcribe(beckett)
    with pytest.raises(ModelError, match="the model's output is not a number"):
        next(segments)


@pytest.fixture(scope="module")
def twelve_seconds(two_cities):
    """Read English at 48 kHz, 16 bits: as an array, and as the bytes of a file."""
    with wave.open(str(two_cities)) as file:
        rate, frames = file.getframerate(), file.readframes(12 * file.getframerate())
    made = io.BytesIO()
    with wave.open(made, "wb") as copy:
        copy.setnchannels(1)
        copy.setsampwidth(2)
        copy.setframerate(rate)
        copy.writeframes(frames)
    return np.frombuffer(frames, np.int16), rate, made.getvalue()


@ENGLISH
def test_options_are_given_by_name_or_together(english):
    """What is given by name is on top."""
    together = DecodingOptions(suppress_tokens=(-1, 2068), temperature=0.0)
    by_name, _ = transcribed(english, "en-quick_brown_fox", suppress_tokens=(-1, 2068), temperature=0.0)
    assert transcribed(english, "en-quick_brown_fox", options=together)[0] == by_name
    (kept, *_), _ = transcribed(english, "en-quick_brown_fox", options=together, suppress_tokens=(-1,))
    assert "quick" in kept.text
    assert "quick" not in text(by_name)


@ENGLISH
def test_a_prefix_begins_the_transcript_and_is_followed_by_what_is_said(english):
    (segment, *_), _ = transcribed(english, "en-quick_brown_fox", prefix="A quick")
    assert segment.text.startswith("A quick brown fox")
    assert segment.start == 0


@ENGLISH
@pytest.mark.parametrize("option", ["initial_prompt", "hotwords"])
def test_words_to_expect_are_heard_and_their_style_taken_up(english, option):
    segments, _ = transcribed(english, "en-quick_brown_fox", **{option: "the lazy doge and the fox"})
    assert text(segments) == "the quick brown fox jumps over the lazy doge."


@ENGLISH
def test_a_window_is_told_the_text_before_it(english, two_cities, two_cities_heard, monkeypatch):
    """And of a transcript's segments nothing else changes than what the model makes of that."""
    read = []
    prefill = english.runner.prefill
    monkeypatch.setattr(english.runner, "prefill", lambda tokens, *more: read.append(tokens) or prefill(tokens, *more))
    segments = list(english.transcribe(two_cities, condition_on_previous_text=True).segments)
    first = [segment for segment in two_cities_heard[0] if segment.start < 29]
    assert segments[: len(first)] == first
    tokenizer = english.checkpoint.tokenizer
    told = [token for segment in first for token in segment.tokens]
    assert read[-1][0].tolist() == [tokenizer.start_of_prev, *told, *tokenizer.prompt("en", timestamps=True)]


@ENGLISH
def test_a_device_that_holds_one_decoding_has_no_beams(english, beckett, monkeypatch):
    monkeypatch.setattr(english.runner, "max_decodings", 1)
    with pytest.raises(
        OptionError, match="cpu decodes 1 text of a window at a time: beam_size may be at most 1, not 2"
    ):
        english.transcribe(beckett, beam_size=2)


@ENGLISH
def test_an_array_at_another_rate_is_heard_as_its_file(english, twelve_seconds):
    samples, rate, file = twelve_seconds
    assert rate == 48_000
    segments, info = english.transcribe(samples, sample_rate=rate)
    segments = list(segments)
    assert info.duration == 12
    assert segments == list(english.transcribe(file).segments)
    assert text(segments).startswith("It was the best of times, it was the worst of times.")


@ENGLISH
def test_an_array_needs_its_rate_and_a_file_has_its_own(english, twelve_seconds):
    samples, rate, file = twelve_seconds
    with pytest.raises(InvalidSamples, match="sample_rate"):
        english.transcribe(samples)
    with pytest.raises(InvalidSamples, match="leave it out"):
        english.transcribe(file, sample_rate=rate)


@ENGLISH
def test_a_recording_that_cannot_be_used_is_refused_at_once(english, tmp_path):
    with pytest.raises(AudioNotFound):
        english.transcribe(tmp_path / "absent.wav")


@ENGLISH
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"task": "translate"}, OptionError, "tiny.en knows English only and cannot translate; use a multilingual"),
        ({"task": "summarise"}, OptionError, "task must be transcribe or translate, not 'summarise'"),
        ({"language": "de"}, LanguageUnsupported, "tiny.en knows English only, not German; use a multilingual"),
        ({"language": "klingon"}, LanguageUnsupported, "Whisper has no language 'klingon'"),
        ({"beams": 5}, OptionError, "no option is called 'beams'; there is temperature"),
        ({"beam_size": 0}, OptionError, "beam_size must be a whole number from 1, not 0"),
        (
            {"beam_size": 33},
            OptionError,
            "cpu decodes 32 texts of a window at a time: beam_size may be at most 32",
        ),
        ({"suppress_tokens": [60_000]}, OptionError, "suppress_tokens has 60000, and tiny.en has 51864 tokens"),
    ],
)
def test_options_that_the_model_cannot_honour_are_refused_at_once(english, beckett, options, error, message):
    with pytest.raises(error, match=message):
        english.transcribe(beckett, **options)


@MULTILINGUAL
def test_a_language_of_a_later_vocabulary_is_refused(multilingual, beckett):
    """Cantonese came with large-v3; the id after base's last language is that of a task."""
    with pytest.raises(LanguageUnsupported, match="base knows other languages, not Cantonese"):
        multilingual.transcribe(beckett, language="yue")


# base takes the Polish for Portuguese, in Hugging Face's hands too.
OF_EACH = ("en-counting", *[f"{code}-pangrama" for code in ("es", "hi", "ja", "pl", "zh")])


@MULTILINGUAL
@pytest.mark.parametrize("name", OF_EACH)
def test_a_language_is_detected_as_hugging_face_does_and_then_used(multilingual, name):
    segments, info = transcribed(multilingual, name, timestamps=False)
    language, probability = expected("base", name).detected
    assert info.language == language
    assert info.language_probability == pytest.approx(probability, abs=1e-3)
    if name != "pl-pangrama":
        assert language == clips()[name].language
        assert words(multilingual, segments) == expected("base", name).ids


@MULTILINGUAL
def test_a_language_is_chosen_among_those_of_the_checkpoint(base):
    """Spanish, where only German and Portuguese may be chosen."""
    poor = replace(base, languages=("pt", "de"))
    _, info = Transcriber(poor).transcribe(**audio("es-conteo"))
    language, probability = HuggingFace(poor).language(clips()["es-conteo"])
    assert info.language == language
    assert info.language_probability == pytest.approx(probability, abs=1e-3)
    assert language in poor.languages


@MULTILINGUAL
@pytest.mark.parametrize("language", ["fr", "French", " FRENCH "])
def test_a_language_is_given_by_code_or_by_name(multilingual, language):
    _, info = multilingual.transcribe(**audio("fr-bonjour_monde"), language=language)
    assert (info.language, info.language_probability) == ("fr", 1.0)


@MULTILINGUAL
def test_a_language_that_is_given_is_used_whatever_is_detected(multilingual):
    """Hindi that base would take for Spanish."""
    name = "hi-namaste_duniya"
    assert expected("base", name).detected[0] == "es"
    segments, _ = transcribed(multilingual, name, language="hi", timestamps=False)
    assert words(multilingual, segments) == expected("base", name).ids


@MULTILINGUAL
@pytest.mark.parametrize(
    ("name", "english"), [("fr-pangrama", "bring this old whiskey"), ("zh-nihao_shijie", "Hello world")]
)
def test_speech_is_translated_to_english_as_hugging_face_does(multilingual, name, english):
    language = clips()[name].language
    segments, info = transcribed(multilingual, name, language=language, task="translate", timestamps=False)
    assert (info.task, info.language) == ("translate", language)
    assert words(multilingual, segments) == expected("base", name, "translate").ids
    assert words(multilingual, segments) != expected("base", name).ids
    assert english in text(segments)


@MULTILINGUAL
def test_a_model_that_was_not_trained_to_translate_is_warned_of_once(base, caplog):
    turbo = Transcriber(replace(base, name="turbo", config=SIZES["large-v3-turbo"]))
    turbo.transcribe(**audio("fr-pangrama"), language="fr")
    assert not caplog.records
    for _ in range(2):
        _, info = turbo.transcribe(**audio("fr-pangrama"), language="fr", task="translate")
        assert info.task == "translate"
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "ttscribe.transcription",
            "WARNING",
            "turbo was not trained to translate and may leave the text in its own language; use medium or large-v3",
        )
    ]


@MULTILINGUAL
@pytest.mark.parametrize("size", [*SIZES])
def test_which_models_were_trained_to_translate(base, size):
    languages = ("en",) if size.startswith("distil") or size.endswith(".en") else base.languages
    checkpoint = replace(base, config=SIZES[size], languages=languages)
    assert checkpoint.translates == (size in {"tiny", "base", "small", "medium", "large-v1", "large-v2", "large-v3"})


@MULTILINGUAL
def test_a_long_recording_is_translated_window_by_window_as_hugging_face_does(multilingual):
    """Whose windows do not start anew after a pause."""
    segments, info = transcribed(multilingual, "joined-french", language="fr", task="translate", vad_filter=False)
    golden_times = expected("base", "joined-french", "translate").times
    assert [(segment.start, segment.end) for segment in segments] == [
        (start, min(end, round(info.duration, 3))) for start, end, _ in golden_times
    ]
    assert words(multilingual, segments) == expected("base", "joined-french", "translate").ids


@MULTILINGUAL
def test_real_spanish_is_translated_to_english(multilingual, speech):
    """A person's voice; those of the packages are synthetic in all languages but English."""
    segments, _ = multilingual.transcribe(speech / "audio" / "ast-es-vm-instructions.flac", task="translate")
    heard = text(segments).lower()
    assert {"press", "messages"} <= {*heard.replace(".", " ").replace(",", " ").split()}
