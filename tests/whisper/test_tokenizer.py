"""The tokenizer against Hugging Face's, on the texts that Whisper gave and on ids that make no text."""

import json
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperTokenizer

from golden.tokens import MODELS
from golden.tokens import golden as golden_tokens
from ttscribe.errors import CheckpointInvalid, LanguageUnsupported, OptionError, VocabularyMismatch
from ttscribe.whisper.languages import ALIASES, LANGUAGES, language_code
from ttscribe.whisper.tokenizer import Tokenizer, special_tokens
from ttscribe.whisper.vocabulary import read_vocabulary


@pytest.fixture(scope="module")
def english(tiny_en_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(tiny_en_folder / "tokenizer.json", 51864)


@pytest.fixture(scope="module")
def multilingual(base_data: Path) -> Tokenizer:
    return Tokenizer.from_file(base_data / "tokenizer.json", 51865)


@pytest.fixture(scope="module")
def cantonese(base_data: Path) -> Tokenizer:
    """large-v3's vocabulary: the same texts, one language more."""
    return Tokenizer(read_vocabulary(base_data / "tokenizer.json"), 51866, borrowed=True)


def test_languages_are_those_of_transformers() -> None:
    from transformers.models.whisper import tokenization_whisper as reference

    assert list(LANGUAGES.items()) == list(reference.LANGUAGES.items())
    assert {name: code for code, name in LANGUAGES.items()} | ALIASES == reference.TO_LANGUAGE_CODE


@pytest.mark.parametrize(
    ("given_name", "code"),
    [("de", "de"), ("German", "de"), (" YUE ", "yue"), ("Castilian", "es"), ("Haitian Creole", "ht")],
)
def test_language_code(given_name: str, code: str) -> None:
    assert language_code(given_name) == code


@pytest.mark.parametrize("name", ["", "klingon", "en-US", "auto"])
def test_unknown_language(name: str) -> None:
    with pytest.raises(LanguageUnsupported, match=r"Whisper has no language .*: give a code such as de"):
        language_code(name)


def golden(speech: Path, model: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (speech / f"golden_{model}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_decodes_golden_tokens(speech: Path, english: Tokenizer, multilingual: Tokenizer) -> None:
    for model, tokenizer in (("tiny.en", english), ("base", multilingual)):
        clips = golden(speech, model)
        assert len(clips) > 100
        different = [clip["file"] for clip in clips if tokenizer.decode(clip["ids"]) != clip["text"]]
        assert not different


@pytest.mark.parametrize("model", MODELS)
def test_golden_texts_of_every_clone_come_back(model: str, english: Tokenizer, multilingual: Tokenizer) -> None:
    """Of ten languages; the texts are transformers' own. A model may choose other tokens for a text than we would."""
    tokenizer = english if model == "tiny.en" else multilingual
    for each in golden_tokens(model):
        assert tokenizer.decode(each.ids) == each.text
        assert tokenizer.decode(tokenizer.encode(each.text)) == each.text


@pytest.mark.parametrize("size", [51864, 51865])
def test_decodes_any_ids_like_transformers(
    size: int, english: Tokenizer, multilingual: Tokenizer, tiny_en_folder: Path, base_data: Path
) -> None:
    tokenizer, folder = (english, tiny_en_folder) if size == 51864 else (multilingual, base_data)
    theirs = WhisperTokenizer.from_pretrained(folder)
    generator = random.Random(0)
    for _ in range(300):
        # Few tokens in a row are UTF-8 when drawn from the single bytes.
        ids = [generator.randrange(generator.choice((256, size))) for _ in range(generator.randrange(1, 12))]
        expected = theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert tokenizer.decode(ids) == expected


def test_english_tokens_are_those_of_transformers(speech: Path, english: Tokenizer, tiny_en_folder: Path) -> None:
    theirs = WhisperTokenizer.from_pretrained(tiny_en_folder)
    for clip in golden(speech, "tiny.en"):
        assert english.encode(str(clip["text"])) == theirs.encode(str(clip["text"]), add_special_tokens=False)


def test_first_merge_is_not_lost(multilingual: Tokenizer) -> None:
    # The published tokenizer.json of this model lacks the merge of " t"; by it, " the" would be two tokens.
    assert multilingual.encode(" the") == [264]


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_text_survives(multilingual: Tokenizer, text: str) -> None:
    ids = multilingual.encode(text)
    assert multilingual.decode(ids) == text
    assert max(ids, default=0) < multilingual.eot


@pytest.mark.parametrize("text", ["<|endoftext|>", "<|en|>", "<|0.00|>"])
def test_special_tokens_cannot_be_smuggled_in(multilingual: Tokenizer, text: str) -> None:
    ids = multilingual.encode(text)
    assert len(ids) > 1
    assert max(ids) < multilingual.eot


@pytest.mark.parametrize("model", ["tiny.en", "base"])
def test_suppressed_tokens_are_openais(
    model: str, english: Tokenizer, multilingual: Tokenizer, tiny_en_folder: Path, base_data: Path
) -> None:
    tokenizer, folder = (english, tiny_en_folder) if model == "tiny.en" else (multilingual, base_data)
    config = json.loads((folder / "config.json").read_text())
    assert list(tokenizer.default_suppress_tokens()) == config["suppress_ids"]
    assert list(tokenizer.default_begin_suppress_tokens()) == config["suppress_ids_begin"]
    assert set(tokenizer.non_speech_tokens()) == {token for token in config["suppress_ids"] if token < tokenizer.eot}


def test_special_ids_are_those_of_the_files(tiny_en_folder: Path, base_data: Path) -> None:
    older_names = {"<|iw|>": "<|he|>", "<|nocaptions|>": "<|nospeech|>"}
    for folder, size in ((tiny_en_folder, 51864), (base_data, 51865)):
        lines = (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
        specials = special_tokens(size)
        found = {older_names.get(lines[token], lines[token]): token for token in specials.values()}
        assert found == {name: token for name, token in specials.items() if name != "<|nocaptions|>"}
        assert lines[specials["<|0.00|>"] + 1500] == "<|30.00|>"


def test_large_v3_has_one_language_more(cantonese: Tokenizer) -> None:
    assert cantonese.language_token("yue") == 50358
    assert (cantonese.translate, cantonese.transcribe) == (50359, 50360)
    assert cantonese.timestamp_begin == 50365
    assert cantonese.languages[-1] == "yue"


def test_prompts(english: Tokenizer, multilingual: Tokenizer) -> None:
    assert english.prompt("en") == (50257, 50362)
    assert english.prompt("english", timestamps=True) == (50257,)
    assert multilingual.prompt("de") == (50258, 50261, 50359, 50363)
    assert multilingual.prompt("German", "translate", timestamps=True) == (50258, 50261, 50358)


def test_english_only_vocabulary_refuses(english: Tokenizer) -> None:
    with pytest.raises(LanguageUnsupported, match=r"does not know German \(de\): it knows English only"):
        english.prompt("de")
    with pytest.raises(OptionError, match="cannot translate"):
        english.prompt("en", "translate")


def test_language_tokens(multilingual: Tokenizer) -> None:
    assert [multilingual.language_of(multilingual.language_token(code)) for code in multilingual.languages] == list(
        multilingual.languages
    )
    with pytest.raises(LanguageUnsupported, match=r"Cantonese \(yue\): it knows 99 languages"):
        multilingual.language_token("yue")
    for token in (multilingual.sot, multilingual.translate, 5):
        with pytest.raises(ValueError, match="not a language"):
            multilingual.language_of(token)


def test_every_vocabulary_file_gives_the_same(base_data: Path, multilingual: Tokenizer, tmp_path: Path) -> None:
    values = json.loads((base_data / "tokenizer.json").read_text(encoding="utf-8"))
    lines = (base_data / "vocabulary.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    (tmp_path / "vocab.json").write_text(json.dumps(values["model"]["vocab"]))
    (tmp_path / "added_tokens.json").write_text(json.dumps({t["content"]: t["id"] for t in values["added_tokens"]}))
    (tmp_path / "vocabulary.json").write_text(json.dumps(lines))
    shutil.copy(base_data / "vocabulary.txt", tmp_path)
    text = "Grüße, 世界! — it's the 1st ♪"
    for name in ("vocab.json", "vocabulary.json", "vocabulary.txt"):
        tokenizer = Tokenizer.from_file(tmp_path / name, 51865)
        assert tokenizer.encode(text) == multilingual.encode(text)
        assert tokenizer.decode(range(tokenizer.eot)) == multilingual.decode(range(multilingual.eot))


@pytest.mark.parametrize("size", [51864, 51866])
def test_vocabulary_of_other_weights(base_data: Path, size: int) -> None:
    with pytest.raises(VocabularyMismatch, match=f"weights with {size} tokens have it at"):
        Tokenizer.from_file(base_data / "tokenizer.json", size)


def test_size_that_no_whisper_has(base_data: Path) -> None:
    with pytest.raises(VocabularyMismatch, match="50257 tokens is not Whisper's, which has 51864, 51865, 51866"):
        Tokenizer.from_file(base_data / "tokenizer.json", 50257)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("tokenizer.json", '{"model": {"vocab": [1]}, "added_tokens": []}', CheckpointInvalid),
        ("tokenizer.json", '{"model": {}}', CheckpointInvalid),
        ("vocab.json", '{"a": "b"}', CheckpointInvalid),
        ("vocabulary.json", "[[1]]", CheckpointInvalid),
        ("vocabulary.json", '["a", "b"]', VocabularyMismatch),
        ("vocabulary.txt", "\n".join(f"t {index}" for index in range(51864)), VocabularyMismatch),
        ("vocabulary.json", json.dumps([f"t{index}" for index in range(51864)]), VocabularyMismatch),
        ("words.txt", "a", CheckpointInvalid),
    ],
)
def test_damaged_vocabulary(tmp_path: Path, name: str, content: str, error: type[Exception]) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=name):
        Tokenizer.from_file(tmp_path / name, 51864)


def test_characters_are_whole_and_each_id_is_in_one(multilingual: Tokenizer) -> None:
    """The emoji's bytes are several tokens; a half of it, cut off, is the replacement character."""
    ids = multilingual.encode(" 你🦊x")
    runs = multilingual.characters([*ids, multilingual.timestamp_begin])
    assert [text for text, _ in runs] == [" 你", "🦊", "x"]
    assert [token for _, run in runs for token in run] == ids
    assert len(runs[1][1]) > 1
    assert multilingual.characters(runs[1][1][:1])[-1][0] == "\ufffd"
